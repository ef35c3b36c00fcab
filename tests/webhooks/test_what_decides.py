"""What decides and cannot be read does nothing, and the event is kept all the same."""

import base64
import json
from typing import Any

import pytest

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, LinkSession
from tests.support.links import QR, READY, link, move_back, status_of
from tests.support.portal import PHONE, Portal
from tests.support.signing import signed_headers
from webhooks.models import WebhookEvent

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(80)).decode()
NO_PHONES: list[Any] = [None, [], {}, True, ["a"], {"a": 1}, "", "unknown", 12.5, "abc@c.us", "+", 0, "\x00", 10**30]


class TestWhatDecides:
    @pytest.mark.parametrize("phone", NO_PHONES, ids=repr)
    @pytest.mark.parametrize(
        ("event", "more"), [("session_ready", READY), ("session_error", {"error": "webhook_send_failed"})]
    )
    def test_a_phone_that_cannot_be_read_connects_nobody(
        self, portal: Portal, account: Account, session: LinkSession, event: str, more: Any, phone: Any
    ) -> None:
        portal.post("session_authenticated", session)
        answer = portal.post(event, session, **more | {"phone_number": phone})
        assert (answer.status_code, answer.json()["outcome"]) == (200, "applied")
        assert status_of(account) == Status.FAILED
        session.refresh_from_db()
        assert (session.end_reason, session.connected_at) == (EndReason.PHONE_UNKNOWN, None)
        assert WebhookEvent.objects.latest("pk").emptied == "phone_number"

    @pytest.mark.parametrize("event", ["session_ready", "session_error"])
    def test_nor_does_one_that_is_missing(
        self, portal: Portal, account: Account, session: LinkSession, event: str
    ) -> None:
        portal.post(event, session, error="webhook_send_failed", platform="android")
        assert status_of(account) == Status.FAILED

    def test_a_lost_link_stays_lost_until_its_phone_is_told(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        portal.post("session_disconnected", session, reason="NAVIGATION")
        assert portal.post("session_ready", session, phone_number=None).json()["outcome"] == "no_change"
        assert status_of(account) == Status.DISCONNECTED
        portal.post("session_ready", session, phone_number=PHONE)
        assert status_of(account) == Status.CONNECTED

    @pytest.mark.parametrize(
        "codes",
        [
            {},
            {"qr_code": None},
            {"qr_code": ""},
            {"qr_code": "data:image/png;base64,!!!!"},
            {"qr_code": "data:image/svg+xml;base64,PHN2Zy8+"},
            {"qr_code": "data:image/png;base64,QUFB"},
            {"qr_code": PNG + "A" * 100_000},
            {"qr_text": "x" * 2_001},
            {"qr_text": "2@abc\x00def"},
            {"qr_text": ["2@abc"]},
            {"qr_text": None, "qr_code": 7},
        ],
        ids=lambda codes: repr(codes)[:40],
    )
    def test_a_qr_code_that_cannot_be_shown_is_kept_and_counted(
        self, portal: Portal, account: Account, session: LinkSession, codes: dict[str, Any]
    ) -> None:
        answer = portal.post("qr_code_generated", session, expires_in=60, **codes)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "unreadable")
        session.refresh_from_db()
        assert (session.unreadable_codes, session.qr_count, session.qr_svg, session.qr_png) == (1, 0, "", None)
        event = WebhookEvent.objects.get()
        assert (event.state, event.reason) == (WebhookEvent.State.IGNORED, "unreadable")
        assert "2@abc" not in json.dumps(event.payload)
        assert status_of(account) == Status.QR_SCANNING
        portal.post("qr_code_generated", session, **QR)
        session.refresh_from_db()
        assert (session.qr_count, session.unreadable_codes) == (1, 1)

    def test_long_after_the_scan_the_bridge_is_asked_whatever_the_code_is(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        move_back(session, 600)
        assert portal.post("qr_code_generated", session, qr_code="no picture").json()["outcome"] == "qr_after_scan"
        assert status_of(account) == Status.CONNECTED
        assert session.orders.get(kind="check").why == "late_qr"

    @pytest.mark.parametrize("text", ["x" * 2_001, None, [], "2@\ud83d"])
    def test_the_picture_is_shown_where_the_text_cannot_be(
        self, portal: Portal, session: LinkSession, text: Any
    ) -> None:
        body = {
            "event": "qr_code_generated",
            "data": {"session_id": session.session_id, "qr_text": text, "qr_code": PNG},
        }
        raw, _ = signed_headers("", json.dumps(body).encode())
        assert portal.send(raw).json()["outcome"] == "applied"
        session.refresh_from_db()
        assert session.qr_png is not None

    @pytest.mark.parametrize("code", [None, "", "  ", "x" * 17, ["ABCD-EFGH"], True, "ABCD\x00EFGH", {}])
    def test_a_pairing_code_that_cannot_be_shown_is_kept_and_counted(
        self, portal: Portal, session: LinkSession, code: Any
    ) -> None:
        for _ in range(2):
            answer = portal.post("pairing_code_generated", session, pairing_code=code, expires_in=60)
            assert answer.json()["outcome"] == "unreadable"
        session.refresh_from_db()
        assert (session.unreadable_codes, session.pairing_code) == (2, "")

    @pytest.mark.parametrize("name", ["event", "session_id"])
    @pytest.mark.parametrize("value", [None, [], {}, True])
    def test_the_name_and_the_session_must_be_there(
        self, portal: Portal, session: LinkSession, name: str, value: Any
    ) -> None:
        body: Any = {"event": "session_authenticated", "data": {"session_id": session.session_id}}
        (body if name == "event" else body["data"])[name] = value
        assert portal.send(body).status_code == 400
        assert WebhookEvent.objects.count() == 0
