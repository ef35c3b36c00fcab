"""Every request of docs/bridge-contract.md, 1, as the Node bridge sends it, and the answer that it needs."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, LinkSession, Message
from accounts.pairing import attempts
from tests.support.links import QR, linked, long_over, move_back, status_of
from tests.support.portal import PHONE, Portal
from tests.support.recorded import NAMES, send
from tests.support.signing import signed_headers
from webhooks.bridge_api import reports
from webhooks.models import StoredReport, UnsignedTraffic, WebhookEvent

__all__ = ["linked"]

NODE_TAKES = re.compile(r"^[-_\w]+$")  # a session id


def assert_data(answer: Any, session: LinkSession) -> dict[str, Any]:
    """What a Node bridge reads of `data`, and nothing secret in it."""
    assert answer.status_code == 200, answer.content
    data: dict[str, Any] = answer.json()["data"]
    assert data["id"] == session.account_id
    assert data["workspace_id"] == session.account.workspace_id
    assert data["session_id"] == session.session_id
    assert datetime.fromisoformat(data["last_activity_at"])
    assert not {"qr_svg", "qr_png", "pairing_code", "device_jid"} & data.keys()
    return data


class TestWebhook:
    """#1. Any 2xx is taken for delivered; anything else but 429 loses the event."""

    @pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("webhook_")])
    def test_webhook(self, session: LinkSession, name: str) -> None:
        answer = send(name, session)
        assert answer.status_code == 200, answer.content
        assert answer.json()["success"] is True
        assert answer.json()["outcome"] not in {"failed", "unknown_event", "unknown_session"}

    def test_webhook_session_ready(self, account: Account, session: LinkSession) -> None:
        send("webhook_qr_code_generated", session)
        send("webhook_session_authenticated", session)
        send("webhook_session_ready", session)
        assert status_of(account) == Status.CONNECTED
        assert account.phone_number == PHONE

    def test_webhook_message_received_with_media(self, linked: LinkSession) -> None:
        send("webhook_message_received_with_media", linked)
        assert Message.objects.get().media.read() == b"A" * 21


class TestAccountsActive:
    """#2. A top-level `sessions`; `id` never null; only what has a stored login."""

    def test_accounts_active(self, linked: LinkSession) -> None:
        answer = send("accounts_active", linked)
        [row] = answer.json()["sessions"]
        assert (row["id"], row["session_id"]) == (linked.account_id, linked.session_id)
        assert row["workspace_id"] == linked.account.workspace_id
        assert NODE_TAKES.match(row["session_id"])

    def test_accounts_active_leaves_out_what_would_show_a_code_to_nobody(self, session: LinkSession) -> None:
        assert send("accounts_active", session).json() == {"sessions": []}

    def test_accounts_active_asks_as_often_for_many_as_for_one(
        self, linked: LinkSession, django_assert_max_num_queries: Callable[[int], Any]
    ) -> None:
        send("accounts_active", linked)  # the bridge is heard, and its key is known
        for number in range(30):
            another = Account.objects.create(workspace=linked.account.workspace, status=Status.CONNECTED)
            values = {"bridge": linked.bridge, "authenticated_at": timezone.now()}
            LinkSession.objects.create(session_id=f"s{number}", account=another, **values)
        with django_assert_max_num_queries(1):
            assert len(send("accounts_active", linked).json()["sessions"]) == 31


class TestMarkDisconnected:
    """#3. The answer is not read."""

    def test_mark_disconnected(self, account: Account, linked: LinkSession) -> None:
        assert send("mark_disconnected", linked).json()["success"] is True
        assert status_of(account) == Status.DISCONNECTED
        linked.refresh_from_db()
        assert linked.is_open
        assert send("mark_disconnected", linked).status_code == 200

    def test_mark_disconnected_of_another_workspace(self, linked: LinkSession) -> None:
        raw, headers = signed_headers("alpha-hmac", {"workspace_id": linked.account.workspace_id + 1})
        path = f"/api/whatsapp/accounts/{linked.session_id}/mark-disconnected"
        answer = Client().post(path, raw, "application/json", headers=headers)
        assert answer.status_code == 404


class TestAccountsForCleanup:
    """#4. A Node bridge drops whatever is listed, connected or not, and takes a missing date for 1970."""

    def test_accounts_for_cleanup(self, session: LinkSession) -> None:
        assert send("accounts_for_cleanup", session).json()["data"] == []
        long_over(session)
        [row] = send("accounts_for_cleanup", session).json()["data"]
        assert (row["id"], row["session_id"]) == (session.account_id, session.session_id)
        assert row["status"] in Status.values
        assert datetime.fromisoformat(row["last_activity_at"]) < timezone.now() - timedelta(hours=24)

    def test_accounts_for_cleanup_lists_nothing_while_we_only_observe(
        self, session: LinkSession, settings: Any
    ) -> None:
        """A Node bridge forgets whatever stands there, and what a restored backup calls ended may run."""
        long_over(session)
        settings.LINKDESK_RECONCILE = "observe"
        assert send("accounts_for_cleanup", session).json()["data"] == []
        settings.LINKDESK_RECONCILE = "act"
        assert send("accounts_for_cleanup", session).json()["data"]

    def test_accounts_for_cleanup_lists_nothing_that_is_open(self, portal: Portal, linked: LinkSession) -> None:
        move_back(linked, 30 * 86_400)
        assert send("accounts_for_cleanup", linked).json()["data"] == []
        portal.post("session_disconnected", linked, reason="NAVIGATION")
        assert send("accounts_for_cleanup", linked).json()["data"] == []
        attempts.force_reset(linked.account_id)
        long_over(linked)
        attempts.start(linked.account_id, trigger="test")  # the account tries again
        assert send("accounts_for_cleanup", linked).json()["data"] == []

    def test_accounts_for_cleanup_lists_fifty_at_the_most(self, session: LinkSession) -> None:
        long_over(session)
        for number in range(60):
            another = Account.objects.create(workspace=session.account.workspace)
            values = {"bridge": session.bridge, "started_at": session.started_at, "ended_at": session.ended_at}
            another.current_session = LinkSession.objects.create(session_id=f"s{number}", account=another, **values)
            another.save()
        assert len(send("accounts_for_cleanup", session).json()["data"]) == 50


class TestAccountStatus:
    """#5. The bridge's wish is not our command; the answer is not read."""

    def test_account_status(self, account: Account, session: LinkSession) -> None:
        assert send("account_status", session).json() == {"success": True, "changed": False}
        move_back(session, 600)
        assert send("account_status", session).json() == {"success": True, "changed": True}
        assert status_of(account) == Status.FAILED
        assert send("account_status", session).json() == {"success": True, "changed": False}

    def test_account_status_leaves_a_pairing_with_a_code_alone(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("qr_code_generated", session, **QR)
        assert send("account_status", session).json()["changed"] is False
        assert status_of(account) == Status.QR_SCANNING

    @pytest.mark.parametrize("events", [["session_authenticated"], ["session_authenticated", "session_ready"]])
    def test_account_status_leaves_whoever_scanned_alone(
        self, account: Account, session: LinkSession, events: list[str]
    ) -> None:
        for event in events:
            send(f"webhook_{event}", session)
        move_back(session, 86_400)
        before = status_of(account)
        assert send("account_status", session).json() == {"success": True, "changed": False}
        assert status_of(account) == before

    @pytest.mark.parametrize("wish", ["connected", "authenticated"])
    def test_account_status_connects_nobody(self, account: Account, session: LinkSession, wish: str) -> None:
        raw, headers = signed_headers("alpha-hmac", {"status": wish})
        path = f"/api/whatsapp/accounts/{account.pk}/status"
        answer = Client().patch(path, raw, "application/json", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "STATUS_NOT_ALLOWED")

    @pytest.mark.parametrize("number", [0, 10**9, 10**30, "x", "٣", "-1"])
    def test_account_status_of_nobody(self, session: LinkSession, number: Any) -> None:
        assert send("account_status", session, account_id=number or -1).status_code == 404


class TestCleanupLogs:
    """#6. The answer is not read; the same log comes every hour."""

    def test_cleanup_logs(self, session: LinkSession) -> None:
        assert send("cleanup_logs", session).json() == {"success": True}
        assert send("cleanup_logs", session).json() == {"success": True}
        report = StoredReport.objects.get()
        assert (report.kind, report.count, report.bridge_id) == ("cleanup", 2, session.bridge_id)
        assert report.payload["whatsapp_account_id"] == session.account_id


class TestBySession:
    """#7 and #8."""

    def test_note_health_by_session(self, account: Account, linked: LinkSession) -> None:
        before = status_of(account), account.version
        data = assert_data(send("note_health_by_session", linked), linked)
        assert data["health_score"] == 100  # the bridge says 0 of every session, always
        assert (status_of(account), account.version) == before

    def test_account_by_session(self, linked: LinkSession) -> None:
        assert assert_data(send("account_by_session", linked), linked)["status"] == Status.CONNECTED

    def test_account_by_session_of_a_replaced_session_is_not_connected(self, linked: LinkSession) -> None:
        long_over(linked)
        newer = attempts.start(linked.account_id, trigger="test")
        assert assert_data(send("account_by_session", linked), linked)["status"] == Status.INACTIVE
        assert assert_data(send("account_by_session", newer), newer)["status"] == Status.QR_SCANNING

    def test_account_by_session_that_is_unknown(self, session: LinkSession) -> None:
        session.session_id = "webjs_1_nobody"
        answer = send("account_by_session", session)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


class TestCleanupStats:
    """#9. Passed on as it is."""

    def test_cleanup_stats(self, linked: LinkSession, django_assert_max_num_queries: Callable[[int], Any]) -> None:
        send("cleanup_stats", linked)
        with django_assert_max_num_queries(2):
            answer = send("cleanup_stats", linked)
        assert answer.json()["data"] == {
            "cleanups_last_7_days": 0,
            "last_cleanup_at": None,
            "stale_disconnected_count": 0,
            "stale_failed_count": 0,
            "healthy_accounts": 1,
            "low_health_accounts": 0,
        }


class TestMobileActivity:
    """#10. Unsigned: answered at once, counted, trusted in nothing."""

    def test_mobile_activity(self, account: Account, linked: LinkSession) -> None:
        events, before = WebhookEvent.objects.count(), status_of(account)
        for _ in range(3):
            assert send("mobile_activity", linked).status_code == 202
        assert UnsignedTraffic.objects.get().count == 3
        assert (WebhookEvent.objects.count(), status_of(account)) == (events, before)

    @pytest.mark.parametrize("body", [b"", b"[" * 10_000, b"\xff\xfe", b'{"event":"session_ready"}'])
    def test_mobile_activity_is_not_read(self, db: None, body: bytes) -> None:
        answer = Client().post("/api/v1/whatsapp/webhook", body, "application/json")
        assert (answer.status_code, answer.json()) == (202, {"success": True})

    def test_mobile_activity_of_a_thousand_strangers_fills_nothing(self, db: None) -> None:
        for number in range(reports.MAX_SOURCES + 50):
            reports.count_stranger(f"2001:db8::{number:x}")
        assert UnsignedTraffic.objects.count() == reports.MAX_SOURCES + 1
        assert UnsignedTraffic.objects.get(source=reports.ELSEWHERE).count == 50

    def test_mobile_activity_with_a_key_that_is_wrong(self, db: None) -> None:
        answer = Client().post("/api/v1/whatsapp/webhook", b"{}", "application/json", headers={"X-API-Key": "x"})
        assert answer.status_code == 202


class TestChatsSync:
    """#11."""

    def test_chats_sync(self, session: LinkSession) -> None:
        assert send("chats_sync", session).json()["outcome"] == "stored"
        assert send("chats_sync", session).json()["outcome"] == "duplicate"
        report = StoredReport.objects.get()
        assert (report.kind, report.count) == ("chats", 2)
        assert report.payload["session_id"] == session.session_id

    def test_chats_sync_of_almost_8_mib_is_one_row(self, session: LinkSession) -> None:
        chats = [{"id": f"{number}@c.us", "name": "x" * 1_000} for number in range(7_900)]
        raw, headers = signed_headers("alpha-hmac", {"session_id": session.session_id, "chats": chats})
        assert 7.5 * 2**20 < len(raw) < 8 * 2**20
        answer = Client().post("/api/whatsapp/chats/sync", raw, "application/json", headers=headers)
        assert answer.status_code == 200, answer.content
        assert len(StoredReport.objects.get().payload["chats"]) == 7_900

    def test_chats_sync_unsigned(self, session: LinkSession) -> None:
        answer = Client().post(
            "/api/whatsapp/chats/sync", b"{}", "application/json", headers={"X-API-Key": "alpha-key"}
        )
        assert answer.status_code == 401
        assert not StoredReport.objects.exists()
