"""Who may speak to the bridge-facing API: by signature or by key, old and new."""

import hashlib
import hmac
import time
from typing import Any

import pytest
from django.test import Client

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeSecret, LinkSession
from tests.support.links import status_of
from tests.support.portal import Portal
from tests.support.refusals import URL, assert_refused, body, post, rows
from tests.support.signing import signed_headers
from webhooks.authentication import forget_secrets
from webhooks.models import WebhookEvent
from webhooks.signature import version_1

__all__ = ["body", "rows"]

ACTIVE = "/api/whatsapp/accounts/active"


class TestSignature:
    def test_the_captured_request_of_the_contract(self) -> None:
        raw = (
            b'{"event":"session_authenticated","data":{"workspace_id":1,'
            b'"session_id":"webjs_1_1763600000_abcd1234","status":"authenticated"}}'
        )
        expected = b"7a6436f26be779b5eb3d7956c6aad5a54248e1d24389992552aaf81ec92c33db"
        assert version_1(b"s3cret", "1795173039", raw) == expected

    def test_a_signed_request_is_taken(self, body: dict[str, Any], account: Account) -> None:
        raw, headers = signed_headers("alpha-hmac", body)
        assert post(raw, headers).status_code == 200
        assert status_of(account) == Status.AUTHENTICATED

    @pytest.mark.parametrize("off", [-295, 295])
    def test_a_clock_may_be_off_a_little(self, body: dict[str, Any], off: int) -> None:
        raw, headers = signed_headers("alpha-hmac", body, at=int(time.time()) + off)
        assert post(raw, headers).status_code == 200

    @pytest.mark.parametrize("off", [-302, 302])
    def test_a_clock_that_is_off_by_more_is_named(self, body: dict[str, Any], rows: Any, off: int) -> None:
        before = rows()
        raw, headers = signed_headers("alpha-hmac", body, at=int(time.time()) + off)
        assert_refused(post(raw, headers), 401, "STALE_TIMESTAMP")
        assert rows() == before

    def test_a_changed_byte(self, body: dict[str, Any], rows: Any) -> None:
        before = rows()
        raw, headers = signed_headers("alpha-hmac", body)
        assert_refused(post(raw.replace(b"authenticated", b"authenticatee"), headers), 401, "INVALID_SIGNATURE")
        assert rows() == before

    def test_a_timestamp_that_was_not_signed(self, body: dict[str, Any], rows: Any) -> None:
        before = rows()
        raw, headers = signed_headers("alpha-hmac", body)
        later = str(int(headers["X-Timestamp"]) + 1)
        assert_refused(post(raw, headers | {"X-Timestamp": later}), 401, "INVALID_SIGNATURE")
        assert rows() == before

    def test_the_secret_of_nobody(self, body: dict[str, Any], rows: Any) -> None:
        before = rows()
        assert_refused(post(*signed_headers("somebody-else", body)), 401, "INVALID_SIGNATURE")
        assert rows() == before

    def test_an_api_key_signs_nothing(self, body: dict[str, Any], rows: Any) -> None:
        before = rows()
        assert_refused(post(*signed_headers("alpha-key", body)), 401, "INVALID_SIGNATURE")
        assert rows() == before

    @pytest.mark.parametrize("name", ["X-Timestamp", "X-HMAC-Signature"])
    def test_a_missing_header(self, body: dict[str, Any], rows: Any, name: str) -> None:
        before = rows()
        raw, headers = signed_headers("alpha-hmac", body)
        del headers[name]
        answer = post(raw, headers)
        assert_refused(answer, 401, "MISSING_HEADER")
        assert name in answer.json()["error"]["message"]
        assert rows() == before

    @pytest.mark.parametrize(
        "convert",
        [
            lambda now: str(now * 1000),
            lambda now: f"{now}.0",
            lambda now: f"+{now}",
            lambda now: f" {now}x",
            lambda now: f"{now}\n",
            lambda now: "".join(chr(ord(digit) + 0xFEE0) for digit in str(now)),  # fullwidth: int() would take them
            lambda now: "now",
            lambda now: "9" * 5_000,
        ],
        ids=["milliseconds", "float", "sign", "text", "newline", "fullwidth", "word", "endless"],
    )
    def test_a_timestamp_that_is_no_plain_number(self, body: dict[str, Any], rows: Any, convert: Any) -> None:
        before = rows()
        raw, headers = signed_headers("alpha-hmac", body)
        timestamp = convert(int(time.time()))
        signature = hmac.new(b"alpha-hmac", timestamp.encode() + raw, hashlib.sha256).hexdigest()
        answer = post(raw, headers | {"X-Timestamp": timestamp, "X-HMAC-Signature": signature})
        assert_refused(answer, 401, "INVALID_TIMESTAMP")
        assert rows() == before

    @pytest.mark.parametrize("signature", ["é" * 64, "😀", "", " ", "0" * 64, "0" * 10_000, "\udcff"])
    def test_a_signature_that_is_none(self, body: dict[str, Any], rows: Any, signature: str) -> None:
        before = rows()
        raw, headers = signed_headers("alpha-hmac", body)
        answer = post(raw, headers | {"X-HMAC-Signature": signature})
        assert_refused(answer, 401, "INVALID_SIGNATURE" if signature else "MISSING_HEADER")
        assert rows() == before

    def test_an_upper_case_signature_is_another_one(self, body: dict[str, Any], rows: Any) -> None:
        """Otherwise the same request could be replayed in another spelling."""
        before = rows()
        raw, headers = signed_headers("alpha-hmac", body)
        upper = headers | {"X-HMAC-Signature": headers["X-HMAC-Signature"].upper()}
        assert_refused(post(raw, upper), 401, "INVALID_SIGNATURE")
        assert rows() == before


class TestRotation:
    def test_old_and_new_secret_both_hold(self, bridge: Bridge, session: LinkSession) -> None:
        BridgeSecret.objects.create(bridge=bridge, kind="hmac", value="newer")
        for secret in ("alpha-hmac", "newer"):
            assert Portal(secret).post("session_reconnected", session).status_code == 200
        assert set(WebhookEvent.objects.values_list("bridge", flat=True)) == {bridge.pk}

    def test_a_retired_secret_is_refused(self, bridge: Bridge, session: LinkSession) -> None:
        BridgeSecret.objects.create(bridge=bridge, kind="hmac", value="newer")
        bridge.credentials.get(kind="hmac", fingerprint=BridgeSecret.fingerprint_of("alpha-hmac")).retire()
        forget_secrets()
        assert_refused(Portal("alpha-hmac").post("session_reconnected", session), 401, "INVALID_SIGNATURE")
        assert Portal("newer").post("session_reconnected", session).status_code == 200

    def test_one_that_is_retired_again_keeps_its_first_date(self, bridge: Bridge) -> None:
        secret = bridge.credentials.get(kind="hmac")
        secret.retire()
        first = secret.retired_at
        BridgeSecret.objects.get(pk=secret.pk).retire()  # a second click on the same page
        secret.refresh_from_db()
        assert secret.retired_at == first

    def test_it_is_not_remembered_for_long(
        self, bridge: Bridge, session: LinkSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert Portal("alpha-hmac").post("session_reconnected", session).status_code == 200
        bridge.credentials.get(kind="hmac").retire()
        soon = time.monotonic() + 11
        monkeypatch.setattr(time, "monotonic", lambda: soon)
        assert_refused(Portal("alpha-hmac").post("session_reconnected", session), 401, "INVALID_SIGNATURE")


class TestKeys:
    @pytest.mark.parametrize("headers", [{"X-API-Key": "alpha-key"}, {"Authorization": "Bearer alpha-key"}])
    def test_by_either_header(self, bridge: Bridge, client: Client, headers: dict[str, str]) -> None:
        answer = client.get(ACTIVE, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"sessions": []})

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"X-API-Key": "wrong"},
            {"X-API-Key": ""},
            {"X-API-Key": "é😀"},
            {"X-API-Key": "alpha-hmac"},
            {"Authorization": "Bearer undefined"},  # what a Node bridge without a token sends
            {"Authorization": "Bearer "},
            {"Authorization": "Basic YWxwaGE6a2V5"},
        ],
        ids=str,
    )
    def test_no_good_key(self, bridge: Bridge, client: Client, headers: dict[str, str]) -> None:
        assert_refused(client.get(ACTIVE, headers=headers), 401, "INVALID_KEY")

    def test_a_retired_key(self, bridge: Bridge, client: Client) -> None:
        bridge.credentials.get(kind="api_key").retire()
        assert_refused(client.get(ACTIVE, headers={"X-API-Key": "alpha-key"}), 401, "INVALID_KEY")

    def test_only_the_right_method(self, bridge: Bridge, client: Client) -> None:
        assert_refused(client.post(ACTIVE, headers={"X-API-Key": "alpha-key"}), 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_a_webhook_is_a_post(bridge: Bridge, client: Client, method: str) -> None:
    raw, headers = signed_headers("alpha-hmac", b"{}" if method != "get" else b"")
    send = getattr(client, method)
    answer = send(URL, headers=headers) if method == "get" else send(URL, raw, "application/json", headers=headers)
    assert_refused(answer, 405, "METHOD_NOT_ALLOWED")
