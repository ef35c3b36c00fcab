"""Webhooks that are signed and no good: refused with a code, before anything is written."""

from typing import Any

import pytest

from accounts.models import Bridge
from tests.support.refusals import assert_refused, body, post, rows
from tests.support.signing import signed_headers
from webhooks.models import WebhookEvent

__all__ = ["body", "rows"]


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
            (with_value(b'{"\\udc00":1}'), "LONE_SURROGATE"),
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
