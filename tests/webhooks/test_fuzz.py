"""20,000 broken webhooks, signed as a bridge signs: each is taken or refused with a known code, and none breaks us.

LINKDESK_FUZZ_BODIES and LINKDESK_FUZZ_SEED change how many and which. A failure prints the body's number: the same seed
gives the same bodies.
"""

import base64
import copy
import json
import logging
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import LinkSession, Message
from tests.support.chats import GROUP, PRIVATE, SENT
from tests.support.links import QR, READY
from tests.support.portal import PHONE, Portal
from tests.support.refusals import CODES
from tests.support.signing import signed_headers
from webhooks.events.handlers import LIFECYCLE, MESSAGES
from webhooks.models import UnmatchedTraffic, WebhookEvent

BODIES = int(os.environ.get("LINKDESK_FUZZ_BODIES") or (20_000 if connection.vendor == "sqlite" else 2_000))
IN_ONE_WORLD = 100  # bodies until everything is as it was before
SESSION = "webjs_1_1763600000_abcd1234"
SEED = int(os.environ.get("LINKDESK_FUZZ_SEED") or 20261120)
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(80)).decode()
MEDIA = {"data": "QUFBQQ==", "mimetype": "image/jpeg", "filename": "image_1.jpg"}
ACK = {"message_id": PRIVATE["id"], "status": "sent", "ack_level": 2, "timestamp": 1795173043}
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("qr_code_generated", QR),
    ("qr_code_generated", {"qr_code": PNG, "expires_in": 60, "qr_count": 1}),
    ("session_authenticated", {"status": "authenticated", "device_jid": f"{PHONE}:28@s.whatsapp.net"}),
    ("session_ready", READY),
    ("session_error", {"error": "webhook_send_failed", "message": "x", "phone_number": PHONE}),
    ("session_error", {"error": "phone_extraction_failed", "message": "x"}),
    ("session_disconnected", {"reason": "NAVIGATION"}),
    ("session_reconnected", {"status": "reconnected", "timestamp": "2026-11-20T10:55:30.988Z"}),
    ("session_action_required", {"kind": "passkey", "message": "Enter the passkey."}),
    ("pairing_code_generated", {"pairing_code": "ABCD-EFGH", "expires_in": 160}),
    ("session_restricted", {"kind": "time_lock", "active": True, "until": 1795173043, "message": "x"}),
    ("message_received", {"message": PRIVATE}),
    ("message_received", {"message": GROUP}),
    ("message_received", {"message": PRIVATE | {"has_media": True, "media": MEDIA}}),
    ("message_sent", {"message": SENT, "source": "message_create_event"}),
    ("message_status_updated", ACK),
    ("message_delivered", {"message_id": PRIVATE["id"], "recipient": "6281234567890@c.us", "timestamp": 1}),
    ("typing_indicator", {"contact_id": "6281234567890@c.us", "is_typing": True, "timestamp": 1795173044954}),
]
ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e300, -0.0, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, "", " ", "\x00",
    "\ud83d", "\udc00x", "😀" * 70, "x" * 300, "x" * 3000, "9" * 400, "é", "null", "-1", "1e5", "NaN", [], {}, [[]],
    [{}], {"": {}}, {"a": None}, ["x"] * 200, "\r\n", "\u2028", "\uffff", "a\\", "'; DROP TABLE x; --", "<script>",
    "%00", "../../etc", "2@" + "A" * 5000, "data:image/png;base64,!!!!", "data:image/svg+xml;base64,PHN2Zy8+", PHONE,
    "+" + PHONE, "٦٢٨١١٦٧",
]  # fmt: skip


class Fuzz:
    """Bodies of one seed: each begins as a good event and goes wrong in one to three places."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def body(self) -> bytes:
        event, data = self.random.choice(GOOD)
        address = {"workspace_id": 1, "session_id": SESSION}
        value: Any = {"event": event, "data": address | copy.deepcopy(data)}
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 3])):
            value = self.random.choice([self.odd_value, self.lost_key, self.swapped_event, self.nested])(value)
        with nested_as_deep_as_it_likes():
            raw = json.dumps(value, separators=(",", ":"), ensure_ascii=self.random.random() < 0.5).encode(
                "utf-8", "surrogatepass"
            )
        for _ in range(self.random.choice([0, 0, 1, 1, 1, 2])):
            raw = self.random.choice([self.flipped, self.cut, self.repeated, self.number, self.doubled, self.escaped])(
                raw
            )
        return raw

    def places(self, value: Any) -> list[tuple[Any, Any]]:
        """Every container in it with a key or index."""
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        found: list[tuple[Any, Any]] = []
        for key, child in inner:
            found += [(value, key), *self.places(child)]
        return found

    def odd_value(self, value: Any) -> Any:
        if places := self.places(value):
            container, key = self.random.choice(places)
            container[key] = copy.deepcopy(self.random.choice(ODD))
        return value

    def lost_key(self, value: Any) -> Any:
        if places := self.places(value):
            container, key = self.random.choice(places)
            del container[key]
        return value

    def swapped_event(self, value: Any) -> Any:
        if isinstance(value, dict):
            value["event"] = self.random.choice([*LIFECYCLE, *MESSAGES, "nobody_knows_me", "qr_code"])
        return value

    def nested(self, value: Any) -> Any:
        if places := self.places(value):
            container, key = self.random.choice(places)
            for _ in range(self.random.choice([1, 5, 17, 25, 400])):
                container[key] = [container[key]] if self.random.choice([True, False]) else {"a": container[key]}
        return value

    def flipped(self, raw: bytes) -> bytes:
        changed = bytearray(raw)
        for _ in range(min(len(raw), self.random.choice([1, 1, 2, 8]))):
            changed[self.random.randrange(len(raw))] ^= 1 << self.random.randrange(8)
        return bytes(changed)

    def cut(self, raw: bytes) -> bytes:
        return raw[: self.random.randrange(len(raw) + 1)]

    def repeated(self, raw: bytes) -> bytes:
        start = self.random.randrange(len(raw) + 1)
        piece = raw[start : start + self.random.randrange(1, 60)]
        return raw[:start] + piece * self.random.choice([2, 3, 50]) + raw[start + len(piece) :]

    def number(self, raw: bytes) -> bytes:
        digits = [place for place in range(len(raw)) if raw[place : place + 1].isdigit()]
        new = self.random.choice([b"1e999", b"-1e999", b"9" * 5000, b"NaN", b"-Infinity", b"1.0", b"-", b"01", b"0x1"])
        place = self.random.choice(digits or [0])
        return raw[:place] + new + raw[place + 1 :]

    def doubled(self, raw: bytes) -> bytes:
        key = self.random.choice(
            [b'"event":"session_ready",', b'"data":{},', b'"session_id":"x",', b'"\\u0065vent":1,']
        )
        return raw[:1] + key + raw[1:]

    def escaped(self, raw: bytes) -> bytes:
        new = self.random.choice(
            [b"\\u0000", b"\\ud800", b"\\udfff", b"\\uD83D\\uDE00", b"\\u", b"\\x", b"\x00", b"\xff"]
        )
        place = self.random.randrange(len(raw) + 1)
        return raw[:place] + new + raw[place:]


@contextmanager
def nested_as_deep_as_it_likes() -> Iterator[None]:
    """For writing a body: one that was nested twice is deeper than Python's limit. Whoever reads it has its own."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10 * limit)
    yield
    sys.setrecursionlimit(limit)


@contextmanager
def as_it_was() -> Iterator[None]:
    """A pairing that has just begun, again: one that has ended takes no more events."""
    before = transaction.savepoint()
    yield
    transaction.savepoint_rollback(before)


@contextmanager
def watched() -> Iterator[list[str]]:
    """The statements that write, but for the note that the bridge was heard."""
    written: list[str] = []

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE", "REPLACE")) and "last_heard_at" not in sql:
            written.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield written


def outcome_of(answer: Any) -> str:
    """The word of a 200, the code of a refusal."""
    if answer.headers["Content-Type"] != "application/json":
        return "no JSON"
    body: dict[str, Any] = answer.json()
    return str(body["outcome"] if body["success"] else body["error"]["code"])


def counts() -> list[int]:
    return [model.objects.count() for model in (WebhookEvent, UnmatchedTraffic, Message, LinkSession)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_broken_body_is_taken_or_refused_and_none_breaks_us(
    portal: Portal, session: LinkSession, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("MESSAGES", "LIFECYCLE", "QR", "OTHERS"):
        setattr(settings, f"LINKDESK_LIMIT_{name}", 10 * BODIES)
    LinkSession.objects.update(session_id=SESSION)  # the same seed, the same bodies
    caplog.set_level(logging.ERROR, "django.request")  # a warning for each refused one takes as long as refusing it
    portal.client.raise_request_exception = False
    fuzz, became, wrong = Fuzz(SEED), Counter[str](), list[Any]()
    for start in range(0, BODIES, IN_ONE_WORLD):
        with as_it_was():
            for number in range(start, start + IN_ONE_WORLD):
                raw = fuzz.body()
                _, headers = signed_headers(portal.secret, raw)
                before = counts() if number % 100 == 0 else None
                with watched() as written:
                    answer = portal.send(raw, headers=headers)
                code = outcome_of(answer)
                became[code] += 1
                refused = 400 <= answer.status_code < 500 and code in CODES
                if answer.status_code != 200 and (not refused or written or (before and counts() != before)):
                    wrong.append((number, answer.status_code, code, written, raw[:300]))
    print(dict(became.most_common()))
    assert wrong == []
    assert [record for record in caplog.records if record.exc_info] == []
    assert sum(became[code] for code in CODES) > BODIES / 3
    assert became["applied"] > BODIES / 100
    assert {"INVALID_UTF8", "LONE_SURROGATE", "TOO_DEEP", "DUPLICATE_KEY", "NUL_IN_TEXT"} <= became.keys()
