"""Version 2 of the signature covers all that decides about a request, and none of it can be changed or moved."""

import time
from typing import Any

import pytest
from django.test import Client

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession
from tests.support.links import status_of
from tests.support.refusals import URL, assert_refused, body, post, rows
from tests.support.signing import signed_headers_2
from webhooks.models import WebhookEvent
from webhooks.signature import Signed, version_2

__all__ = ["body", "rows"]

SECRET = "alpha-hmac"
NAMED: dict[str, Any] = {"event_id": "evt-0001", "boot": "boot-a", "sequence": 7}
CAPTURED = (
    b'{"event":"session_authenticated","data":{"workspace_id":1,'
    b'"session_id":"webjs_1_1763600000_abcd1234","status":"authenticated"}}'
)


class TestVectors:
    """Those of docs/bridge-api.md."""

    def test_an_event(self) -> None:
        signed = Signed(
            method="POST",
            path=URL,
            timestamp="1795173039",
            event_id="evt-0001",
            boot="boot-a",
            sequence="7",
            body=CAPTURED,
        )
        assert version_2(b"s3cret", signed) == b"4df801cb8eb548ea7a9a379a09b58beb7ca100e2ccb886fbb6037a8257d1e4e6"

    def test_a_heartbeat(self) -> None:
        signed = Signed(
            method="POST",
            path="/api/whatsapp/bridges/heartbeat",
            timestamp="1795173039",
            event_id="",
            boot="boot-a",
            sequence="1",
            body=b'{"library":"simulated","version":"1","boot":"boot-a","sessions":[]}',
        )
        assert version_2(b"s3cret", signed) == b"70e3f8fbcfaa5eec333f5ae79a0826b3c29c393cfe58e5941cfdc721042c19ff"

    def test_a_get_with_a_query_and_nothing_else(self) -> None:
        path = "/api/whatsapp/accounts/active?workspace_id=1"
        signed = Signed(method="GET", path=path, timestamp="1795173039", event_id="", boot="", sequence="", body=b"")
        assert version_2(b"s3cret", signed) == b"296caa8d4ed75c9d959edda348f3a602907bc16a5ba694e12b20fee24d5d0839"


class TestTaken:
    def test_an_event(self, body: dict[str, Any], account: Account) -> None:
        assert post(*signed_headers_2(SECRET, body, **NAMED)).json()["outcome"] == "applied"
        assert status_of(account) == Status.AUTHENTICATED
        event = WebhookEvent.objects.get()
        assert (event.event_id, event.boot, event.sequence) == ("evt-0001", "boot-a", 7)

    def test_an_event_with_nothing_but_an_id(self, body: dict[str, Any]) -> None:
        assert post(*signed_headers_2(SECRET, body, event_id="e")).status_code == 200

    def test_a_get_with_a_query(self, session: LinkSession, client: Client) -> None:
        path = f"/api/whatsapp/accounts/{session.session_id}/status?workspace_id={session.account.workspace_id}"
        _, headers = signed_headers_2(SECRET, b"", method="GET", path=path)
        assert client.get(path, headers=headers).status_code == 200

    def test_a_path_with_characters_that_are_quoted(self, session: LinkSession, client: Client) -> None:
        path = "/api/whatsapp/accounts/by-session/webjs%20%C3%A9%3Fx"
        _, headers = signed_headers_2(SECRET, b"", method="GET", path=path)
        assert_refused(client.get(path, headers=headers), 404, "NOT_FOUND")  # the signature held

    def test_every_request_that_may_be_signed(self, session: LinkSession, client: Client) -> None:
        path = f"/api/whatsapp/sessions/{session.session_id}/mark-disconnected"
        raw, headers = signed_headers_2(SECRET, {"reason": "x"}, path=path)
        assert client.post(path, raw, "application/json", headers=headers).status_code == 200
        path = "/api/whatsapp/chats/sync"
        raw, headers = signed_headers_2(SECRET, {"chats": []}, path=path)
        assert client.post(path, raw, "application/json", headers=headers).status_code == 200

    def test_an_event_without_an_id_has_no_identity(self, body: dict[str, Any], rows: Any) -> None:
        before = rows()
        assert_refused(post(*signed_headers_2(SECRET, body, boot="b", sequence=1)), 400, "INVALID_HEADER")
        assert rows() == before


def changed(headers: dict[str, str], **new: str | None) -> dict[str, str]:
    replaced = headers | {name.replace("_", "-"): value for name, value in new.items() if value is not None}
    return {name: value for name, value in replaced.items() if new.get(name.replace("-", "_"), "") is not None}


class TestNothingCanBeChanged:
    @pytest.mark.parametrize(
        "change",
        [
            {"X_Event_Id": "evt-0002"},
            {"X_Event_Id": None},
            {"X_Bridge_Boot": "boot-b"},
            {"X_Bridge_Boot": None},
            {"X_Bridge_Sequence": "8"},
            {"X_Bridge_Sequence": "07"},
            {"X_Bridge_Sequence": "99999999999999999"},
            {"X_Bridge_Sequence": None},
        ],
        ids=str,
    )
    def test_no_header(self, body: dict[str, Any], rows: Any, change: dict[str, str | None]) -> None:
        before = rows()
        raw, headers = signed_headers_2(SECRET, body, **NAMED)
        assert_refused(post(raw, changed(headers, **change)), 401, "INVALID_SIGNATURE")
        assert rows() == before

    def test_not_the_time(self, body: dict[str, Any], rows: Any) -> None:
        before = rows()
        raw, headers = signed_headers_2(SECRET, body, **NAMED, at=int(time.time()) - 9)
        later = headers | {"X-Timestamp": str(int(time.time()))}
        assert_refused(post(raw, later), 401, "INVALID_SIGNATURE")
        assert_refused(post(raw, headers | {"X-Timestamp": "0" + headers["X-Timestamp"]}), 401, "INVALID_SIGNATURE")
        assert rows() == before

    def test_not_a_byte_of_the_body(self, body: dict[str, Any], rows: Any) -> None:
        before = rows()
        raw, headers = signed_headers_2(SECRET, body, **NAMED)
        assert_refused(post(raw + b" ", headers), 401, "INVALID_SIGNATURE")
        assert rows() == before

    @pytest.mark.parametrize("path", ["/api/whatsapp/chats/sync", URL + "?a=1", "/api/whatsapp/cleanup-logs"])
    def test_not_the_path_or_the_query(self, bridge: Bridge, body: dict[str, Any], client: Client, path: str) -> None:
        raw, headers = signed_headers_2(SECRET, body, **NAMED)
        assert_refused(client.post(path, raw, "application/json", headers=headers), 401, "INVALID_SIGNATURE")

    def test_not_the_method(self, session: LinkSession, client: Client) -> None:
        path = f"/api/whatsapp/accounts/by-session/{session.session_id}"
        raw, headers = signed_headers_2(SECRET, b"", method="GET", path=path)
        assert client.get(path, headers=headers).status_code == 200
        assert_refused(client.patch(path, raw, "application/json", headers=headers), 401, "INVALID_SIGNATURE")

    @pytest.mark.parametrize(
        "shifted",
        [
            {"event_id": "evt-0001boot-a", "boot": "", "sequence": 7},
            {"event_id": "evt-0001", "boot": "boot-a7", "sequence": ""},
            {"event_id": "evt-000", "boot": "1boot-a", "sequence": 7},
            {"event_id": "evt-0001", "boot": "boot-", "sequence": "a7"},
            {"event_id": "boot-a", "boot": "evt-0001", "sequence": 7},
            {"event_id": "", "boot": "evt-0001", "sequence": "boot-a"},
        ],
        ids=str,
    )
    def test_nothing_moves_from_one_part_to_the_next(
        self, body: dict[str, Any], rows: Any, shifted: dict[str, Any]
    ) -> None:
        before = rows()
        raw, headers = signed_headers_2(SECRET, body, **NAMED)
        _, others = signed_headers_2(SECRET, body, **shifted)
        forged = others | {"X-HMAC-Signature-V2": headers["X-HMAC-Signature-V2"]}
        assert_refused(post(raw, forged), 401, "INVALID_SIGNATURE")
        assert rows() == before

    @pytest.mark.parametrize("line", ["\n", "\r\n", "\r", "\x0b", "\x00", "\x85", "é"], ids=repr)
    @pytest.mark.parametrize("name", ["X-Event-Id", "X-Bridge-Boot", "X-Bridge-Sequence"])
    def test_no_part_has_a_line_break(self, body: dict[str, Any], rows: Any, name: str, line: str) -> None:
        """No server lets one through in a header; here one is refused before anything is compared."""
        before = rows()
        raw, headers = signed_headers_2(SECRET, body, event_id="a\nb", boot="", sequence=7)
        assert_refused(post(raw, headers | {name: f"1{line}2"}), 400, "INVALID_HEADER")
        assert rows() == before

    @pytest.mark.parametrize("secret", ["somebody-else", "alpha-key"])
    def test_another_secret(self, body: dict[str, Any], rows: Any, secret: str) -> None:
        before = rows()
        assert_refused(post(*signed_headers_2(secret, body, **NAMED)), 401, "INVALID_SIGNATURE")
        assert rows() == before

    @pytest.mark.parametrize("signature", ["", "0" * 64, "é", "v2=" + "0" * 64])
    def test_a_signature_that_is_none(self, body: dict[str, Any], rows: Any, signature: str) -> None:
        before = rows()
        raw, headers = signed_headers_2(SECRET, body, **NAMED)
        answer = post(raw, headers | {"X-HMAC-Signature-V2": signature})
        assert_refused(answer, 401, "INVALID_SIGNATURE" if signature else "MISSING_HEADER")
        assert rows() == before

    @pytest.mark.parametrize("off", [-302, 302])
    def test_a_clock_that_is_off(self, body: dict[str, Any], off: int) -> None:
        raw, headers = signed_headers_2(SECRET, body, **NAMED, at=int(time.time()) + off)
        assert_refused(post(raw, headers), 401, "STALE_TIMESTAMP")
