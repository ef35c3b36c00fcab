"""A request carries one version of the signature, and a bridge that has shown version 2 does not go back."""

import hashlib
import hmac
from typing import Any

import pytest
from django.test import Client

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession
from tests.support.links import status_of
from tests.support.portal import make_bridge
from tests.support.refusals import URL, assert_refused, body, post, rows
from tests.support.signing import signed_headers, signed_headers_2
from webhooks.authentication import forget_secrets

__all__ = ["body", "rows"]

SECRET = "alpha-hmac"
NAMED: dict[str, Any] = {"event_id": "evt-0001", "boot": "boot-a", "sequence": 7}


class TestOneVersion:
    def test_both_are_refused_though_each_is_right(self, body: dict[str, Any], rows: Any) -> None:
        before = rows()
        raw, headers = signed_headers_2(SECRET, body, **NAMED)
        old = signed_headers(SECRET, body, at=int(headers["X-Timestamp"]))[1]
        assert_refused(post(raw, headers | old), 401, "TWO_SIGNATURES")
        assert rows() == before

    def test_both_are_refused_where_a_key_would_do(self, bridge: Bridge, client: Client) -> None:
        path = "/api/whatsapp/accounts/active"
        headers = signed_headers_2(SECRET, b"", method="GET", path=path)[1] | signed_headers(SECRET, b"")[1]
        assert_refused(client.get(path, headers=headers | {"X-API-Key": "alpha-key"}), 401, "TWO_SIGNATURES")

    def test_a_wrong_version_2_beside_a_good_key(self, bridge: Bridge, client: Client) -> None:
        path = "/api/whatsapp/accounts/active"
        headers = signed_headers_2("wrong", b"", method="GET", path=path)[1] | {"X-API-Key": "alpha-key"}
        assert_refused(client.get(path, headers=headers), 401, "INVALID_SIGNATURE")

    def test_a_signature_of_version_2_is_none_of_version_1(self, body: dict[str, Any], rows: Any) -> None:
        """The text that version 2 signs, sent as a body: no timestamp makes the two texts equal."""
        before = rows()
        raw, headers = signed_headers_2(SECRET, body, **NAMED)
        digest = hashlib.sha256(raw).hexdigest()
        text = f"linkdesk-2\nPOST\n{URL}\n{headers['X-Timestamp']}\nevt-0001\nboot-a\n7\n{digest}".encode()
        signature = headers["X-HMAC-Signature-V2"]
        assert signature == hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
        for timestamp, rest in ((headers["X-Timestamp"], text), ("0", text), (headers["X-Timestamp"], text[10:])):
            answer = post(rest, {"X-Timestamp": timestamp, "X-HMAC-Signature": signature})
            assert answer.status_code == 401
        assert rows() == before

    def test_a_signature_of_version_1_is_none_of_version_2(self, body: dict[str, Any], rows: Any) -> None:
        before = rows()
        raw, headers = signed_headers(SECRET, body)
        as_2 = {"X-Timestamp": headers["X-Timestamp"], "X-HMAC-Signature-V2": headers["X-HMAC-Signature"]}
        assert_refused(post(raw, as_2 | {"X-Event-Id": "e"}), 401, "INVALID_SIGNATURE")
        assert rows() == before


class TestNoWayBack:
    @pytest.fixture
    def shown(self, session: LinkSession) -> LinkSession:
        raw, headers = signed_headers_2(
            SECRET, {"event": "session_reconnected", "data": {"session_id": session.session_id}}, event_id="first"
        )
        assert post(raw, headers).status_code == 200
        return session

    def test_version_1_is_refused_once_version_2_was_shown(
        self, shown: LinkSession, account: Account, body: dict[str, Any], rows: Any
    ) -> None:
        before = rows()
        assert_refused(post(*signed_headers(SECRET, body)), 401, "VERSION_1_REFUSED")
        assert rows() == before

    def test_also_in_a_process_that_has_never_seen_version_2(self, shown: LinkSession, body: dict[str, Any]) -> None:
        forget_secrets()
        assert_refused(post(*signed_headers(SECRET, body)), 401, "VERSION_1_REFUSED")

    def test_also_where_a_new_secret_signs(self, shown: LinkSession, body: dict[str, Any], bridge: Bridge) -> None:
        bridge.credentials.create(kind="hmac", value="newer")
        assert_refused(post(*signed_headers("newer", body)), 401, "VERSION_1_REFUSED")

    def test_a_replay_stripped_to_version_1(self, shown: LinkSession, body: dict[str, Any]) -> None:
        raw, headers = signed_headers_2(SECRET, body, **NAMED)
        stripped = {"X-Timestamp": headers["X-Timestamp"], "X-HMAC-Signature": headers["X-HMAC-Signature-V2"]}
        assert_refused(post(raw, stripped), 401, "INVALID_SIGNATURE")

    def test_on_every_path_that_takes_a_signature(self, shown: LinkSession, client: Client) -> None:
        raw, headers = signed_headers(SECRET, {"library": "x", "version": "1", "sessions": []})
        for path in ("/api/whatsapp/bridges/heartbeat", "/api/whatsapp/chats/sync", "/api/whatsapp/cleanup-logs"):
            answer = client.post(path, raw, "application/json", headers=headers)
            assert_refused(answer, 401, "VERSION_1_REFUSED")

    def test_another_bridge_keeps_version_1(self, shown: LinkSession, body: dict[str, Any]) -> None:
        make_bridge("beta")
        assert post(*signed_headers("beta-hmac", body)).status_code == 200

    def test_its_key_still_holds(self, shown: LinkSession, client: Client) -> None:
        assert client.get("/api/whatsapp/accounts/active", headers={"X-API-Key": "alpha-key"}).status_code == 200

    def test_a_wrong_version_2_shuts_nobody_out(self, body: dict[str, Any], account: Account) -> None:
        assert post(*signed_headers_2("wrong", body, **NAMED)).status_code == 401
        assert post(*signed_headers(SECRET, body)).status_code == 200
        assert status_of(account) == Status.AUTHENTICATED

    def test_until_it_is_reset_and_again_after_the_next_version_2(
        self, shown: LinkSession, body: dict[str, Any], bridge: Bridge
    ) -> None:
        assert bridge.allow_version_1()
        assert post(*signed_headers(SECRET, body)).status_code == 200
        assert post(*signed_headers_2(SECRET, body, event_id="second")).status_code == 200
        assert_refused(post(*signed_headers(SECRET, body)), 401, "VERSION_1_REFUSED")
