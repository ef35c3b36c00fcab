"""Who may speak to the bridge-facing API, and what is refused before anything is written."""

import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from django.test import Client

from accounts import pairing
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeSecret, LinkSession, Message, Transition, Workspace
from tests.conftest import Portal, make_bridge
from tests.signing import signed_headers
from tests.test_webhook_contract import QR, link, status_of
from webhooks.authentication import forget_secrets, sign
from webhooks.models import UnmatchedTraffic, WebhookEvent

URL = "/api/whatsapp/webhooks/webjs"
ACTIVE = "/api/whatsapp/accounts/active"


@pytest.fixture
def body(session: LinkSession) -> dict[str, Any]:
    return {"event": "session_authenticated", "data": {"session_id": session.session_id}}


@pytest.fixture
def rows(session: LinkSession) -> Any:
    """Gives how many rows there are of all that a webhook may write; the world is counted when the test begins."""

    def count() -> list[int]:
        session.refresh_from_db()
        models = (WebhookEvent, UnmatchedTraffic, Message, Transition)
        return [*(model.objects.count() for model in models), session.account.version, session.qr_count]

    return count


def post(raw: bytes, headers: dict[str, str]) -> Any:
    return Client(raise_request_exception=False).post(URL, raw, "application/json", headers=headers)


def assert_refused(answer: Any, status: int, code: str) -> None:
    assert answer.headers["Content-Type"] == "application/json"
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert answer.json()["success"] is False
    assert error["message"]


class TestSignature:
    def test_the_captured_request_of_the_contract(self) -> None:
        raw = (
            b'{"event":"session_authenticated","data":{"workspace_id":1,'
            b'"session_id":"webjs_1_1763600000_abcd1234","status":"authenticated"}}'
        )
        expected = b"7a6436f26be779b5eb3d7956c6aad5a54248e1d24389992552aaf81ec92c33db"
        assert sign(b"s3cret", "1795173039", raw) == expected

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


class TestActiveAccounts:
    def listed(self, key: str = "alpha-key") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = Client().get(ACTIVE, headers={"X-API-Key": key}).json()["sessions"]
        return rows

    def test_a_linked_session_with_all_that_a_restore_needs(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        assert self.listed() == [
            {
                "id": account.pk,
                "session_id": session.session_id,
                "workspace_id": account.workspace_id,
                "phone_number": "6281167328422",
                "status": "connected",
                "provider_type": "webjs",
            }
        ]

    def test_another_bridge_sees_only_its_own(self, portal: Portal, session: LinkSession) -> None:
        make_bridge("beta")
        link(portal, session)
        assert self.listed("beta-key") == []

    def test_one_that_was_never_scanned_is_not_listed(self, portal: Portal, session: LinkSession) -> None:
        """Its restore would show a QR code that nobody looks at."""
        portal.post("qr_code_generated", session, **QR)
        assert self.listed() == []

    def test_one_that_has_ended_is_not_listed(self, portal: Portal, account: Account, session: LinkSession) -> None:
        link(portal, session)
        pairing.force_reset(account.pk)
        assert self.listed() == []

    def test_one_that_was_lost_is_listed(self, portal: Portal, session: LinkSession) -> None:
        link(portal, session)
        portal.post("session_disconnected", session, reason="NAVIGATION")
        assert [row["status"] for row in self.listed()] == ["disconnected"]


class TestMarkDisconnected:
    def mark(self, session: LinkSession, body: Any, *, key: str = "alpha-key", below: str = "sessions") -> Any:
        url = f"/api/whatsapp/{below}/{session.session_id}/mark-disconnected"
        return Client().post(url, json.dumps(body), "application/json", headers={"X-API-Key": key})

    @pytest.mark.parametrize("below", ["sessions", "accounts"])
    def test_a_session_that_could_not_be_restored(
        self, portal: Portal, account: Account, session: LinkSession, below: str
    ) -> None:
        link(portal, session)
        body = {"workspace_id": account.workspace_id, "reason": "EEXIST: file already exists"}
        answer = self.mark(session, body, below=below)
        assert (answer.status_code, answer.json()["success"]) == (200, True)
        assert status_of(account) == Status.DISCONNECTED
        transition = account.transitions.first()
        assert transition is not None
        assert (transition.trigger, transition.reason) == ("mark_disconnected", "EEXIST: file already exists")

    @pytest.mark.parametrize("convert", [str, int])
    def test_the_workspace_id_may_be_text(
        self, portal: Portal, account: Account, session: LinkSession, convert: Any
    ) -> None:
        link(portal, session)
        assert self.mark(session, {"workspace_id": convert(account.workspace_id)}).status_code == 200
        assert status_of(account) == Status.DISCONNECTED

    def test_twice_is_once(self, portal: Portal, account: Account, session: LinkSession) -> None:
        link(portal, session)
        for _ in range(2):
            assert self.mark(session, {}).status_code == 200
        assert account.transitions.filter(new=Status.DISCONNECTED).count() == 1

    def test_another_workspace(self, portal: Portal, account: Account, session: LinkSession) -> None:
        link(portal, session)
        other = Workspace.objects.create(name="Toko Bob")
        assert_refused(self.mark(session, {"workspace_id": other.pk}), 404, "NOT_FOUND")
        assert status_of(account) == Status.CONNECTED

    def test_another_bridges_session(self, portal: Portal, account: Account, session: LinkSession) -> None:
        make_bridge("beta")
        link(portal, session)
        assert_refused(self.mark(session, {}, key="beta-key"), 404, "NOT_FOUND")
        assert status_of(account) == Status.CONNECTED

    def test_a_session_that_never_was(self, session: LinkSession) -> None:
        session.session_id = "webjs_1_1_nobody00"
        assert_refused(self.mark(session, {}), 404, "NOT_FOUND")

    @pytest.mark.parametrize("body", [[], "x", {"workspace_id": []}], ids=str)
    def test_a_body_that_is_none(self, portal: Portal, account: Account, session: LinkSession, body: Any) -> None:
        link(portal, session)
        answer = self.mark(session, body)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"]
        assert status_of(account) == Status.CONNECTED


def nested(depth: int) -> bytes:
    return b'{"event":"x","data":' + b"[" * depth + b"]" * depth + b"}"


def with_value(raw: bytes) -> bytes:
    return b'{"event":"session_authenticated","data":{"session_id":"s","x":' + raw + b"}}"


class TestStrictJson:
    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            (b"", "INVALID_JSON"),
            (b"{", "INVALID_JSON"),
            (b"{'event': 1}", "INVALID_JSON"),
            (b"{}{}", "INVALID_JSON"),
            (b"\xef\xbb\xbf{}", "INVALID_JSON"),
            (b"\xff\xfe{}", "INVALID_UTF8"),
            (with_value(b'"\xc3\x28"'), "INVALID_UTF8"),
            (with_value(b'"\xed\xa0\x80"'), "INVALID_UTF8"),
            (b"[]", "NOT_AN_OBJECT"),
            (b'"text"', "NOT_AN_OBJECT"),
            (b"null", "NOT_AN_OBJECT"),
            (b"1", "NOT_AN_OBJECT"),
            (nested(20), "TOO_DEEP"),
            (nested(100_000), "TOO_DEEP"),
            (b"[" * 100_000, "TOO_DEEP"),
            (b'{"a":' * 100_000, "TOO_DEEP"),
            (with_value(b"NaN"), "NUMBER_OUT_OF_RANGE"),
            (with_value(b"Infinity"), "NUMBER_OUT_OF_RANGE"),
            (with_value(b"-Infinity"), "NUMBER_OUT_OF_RANGE"),
            (with_value(b"1e999"), "NUMBER_OUT_OF_RANGE"),
            (with_value(b"-1e999"), "NUMBER_OUT_OF_RANGE"),
            (with_value(b"9223372036854775808"), "NUMBER_OUT_OF_RANGE"),
            (with_value(b"-9223372036854775809"), "NUMBER_OUT_OF_RANGE"),
            (with_value(b"9" * 10_000), "NUMBER_OUT_OF_RANGE"),
            (with_value(b'"\\ud83d"'), "LONE_SURROGATE"),
            (with_value(b'{"\\udc00":1}'), "LONE_SURROGATE"),
            (with_value(b'"a\\u0000b"'), "NUL_IN_TEXT"),
            (with_value(b'{"a\\u0000":1}'), "NUL_IN_TEXT"),
            (with_value(b'1,"x":2'), "DUPLICATE_KEY"),
            (with_value(b'{"a":1,"a":1}'), "DUPLICATE_KEY"),
            (b'{"event":"a","event":"b","data":{}}', "DUPLICATE_KEY"),
            (b"{}", "INVALID_FIELD"),
            (b'{"event":"x"}', "INVALID_FIELD"),
            (b'{"event":"x","data":[]}', "INVALID_FIELD"),
            (b'{"event":"x","data":{}}', "INVALID_FIELD"),
            (b'{"event":null,"data":{"session_id":"s"}}', "INVALID_FIELD"),
            (b'{"event":true,"data":{"session_id":"s"}}', "INVALID_FIELD"),
            (b'{"event":{},"data":{"session_id":"s"}}', "INVALID_FIELD"),
            (b'{"event":"x","data":{"session_id":[]}}', "INVALID_FIELD"),
            (b'{"event":"x","data":{"session_id":"' + b"s" * 192 + b'"}}', "INVALID_FIELD"),
            (b'{"event":"' + b"x" * 61 + b'","data":{"session_id":"s"}}', "INVALID_FIELD"),
        ],
        ids=lambda value: value if isinstance(value, str) else repr(value[:40]),
    )
    def test_what_two_parsers_could_read_differently(self, rows: Any, raw: bytes, code: str) -> None:
        before = rows()
        assert_refused(post(*signed_headers("alpha-hmac", raw)), 400, code)
        assert rows() == before

    @pytest.mark.parametrize(
        "raw", [b'"\\ud83d\\ude00"', b"9223372036854775807", b"1e308", b"{}", b'"\xf0\x9f\x98\x80"']
    )
    def test_what_is_only_unusual_is_taken(self, bridge: Bridge, raw: bytes) -> None:
        assert post(*signed_headers("alpha-hmac", with_value(raw))).status_code == 200

    def test_a_body_above_the_limit(self, rows: Any) -> None:
        before = rows()
        raw = with_value(b'"' + b"x" * (33 * 1024 * 1024) + b'"')
        assert_refused(post(*signed_headers("alpha-hmac", raw)), 413, "BODY_TOO_LARGE")
        assert rows() == before

    def test_an_unsigned_body_is_not_even_parsed(self, rows: Any) -> None:
        before = rows()
        raw, headers = signed_headers("somebody-else", nested(100_000))
        assert_refused(post(raw, headers), 401, "INVALID_SIGNATURE")
        assert rows() == before


class TestHeaders:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("X-Event-Id", "x" * 65),
            ("X-Event-Id", "é"),
            ("X-Event-Id", "a\tb"),
            ("X-Bridge-Boot", "x" * 65),
            ("X-Bridge-Sequence", "-1"),
            ("X-Bridge-Sequence", "1.5"),
            ("X-Bridge-Sequence", "9" * 19),
        ],
    )
    def test_an_unusable_id_is_refused(self, body: dict[str, Any], rows: Any, name: str, value: str) -> None:
        before = rows()
        raw, headers = signed_headers("alpha-hmac", body)
        assert_refused(post(raw, headers | {name: value}), 400, "INVALID_HEADER")
        assert rows() == before

    def test_what_a_bridge_says_of_its_run_is_kept(self, body: dict[str, Any]) -> None:
        raw, headers = signed_headers("alpha-hmac", body)
        more = {"X-Event-Id": "e-1", "X-Bridge-Boot": "b-1", "X-Bridge-Sequence": "7"}
        assert post(raw, headers | more).status_code == 200
        event = WebhookEvent.objects.get()
        assert (event.event_id, event.boot, event.sequence) == ("e-1", "b-1", 7)


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_a_webhook_is_a_post(bridge: Bridge, client: Client, method: str) -> None:
    raw, headers = signed_headers("alpha-hmac", b"{}" if method != "get" else b"")
    send = getattr(client, method)
    answer = send(URL, headers=headers) if method == "get" else send(URL, raw, "application/json", headers=headers)
    assert_refused(answer, 405, "METHOD_NOT_ALLOWED")
