"""The door for webhooks in a real server: what it stores, what it leaves to Django, and what it refuses itself."""

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import httpx
import psutil
import pytest
from django.db import connection

from accounts.models import Account, BridgeSecret, LinkSession, Message
from accounts.pairing import attempts
from api.models import RateLimitCount
from tests.support import servers
from tests.support.chats import PRIVATE, media
from tests.support.signing import signed_headers, signed_headers_2
from webhooks.models import UnmatchedTraffic

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]
URL = "/api/whatsapp/webhooks/webjs"
WITHIN = 10  # seconds that a bridge waits


@pytest.fixture
def base(session: LinkSession) -> Iterator[str]:
    with servers.portal() as url:
        yield url


def text(session: LinkSession, number: int | str = 0, **changed: Any) -> dict[str, Any]:
    message = PRIVATE | {"id": f"false_6281234567890@c.us_{number}"} | changed
    return {"event": "message_received", "data": {"session_id": session.session_id, "message": message}}


def ack(session: LinkSession, number: int | str, level: int) -> dict[str, Any]:
    told = {"session_id": session.session_id, "message_id": f"false_6281234567890@c.us_{number}", "ack_level": level}
    return {"event": "message_status_updated", "data": told}


def send(base: str, body: Any, *, secret: str = "alpha-hmac", **headers: str) -> httpx.Response:
    raw, signed = signed_headers(secret, body)
    return httpx.post(base + URL, content=raw, headers=signed | headers, timeout=WITHIN)


def send_all(base: str, bodies: list[Any], *, at_once: int = 16) -> list[httpx.Response]:
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(partial(send, base), bodies))


def outcomes(answers: list[httpx.Response]) -> Counter[str]:
    return Counter(answer.json().get("outcome", str(answer.status_code)) for answer in answers)


class TestItStores:
    def test_a_message_and_its_acks_in_any_order(self, base: str, session: LinkSession) -> None:
        bodies = [ack(session, 1, 2), text(session, 1), ack(session, 1, 1), text(session, 1)]
        answers = [send(base, body) for body in bodies]
        assert [answer.json()["outcome"] for answer in answers] == ["applied", "applied", "no_change", "no_change"]
        message = Message.objects.get()
        assert (message.body, message.delivered, message.ack_level, message.from_me) == ("halo", True, 2, False)

    def test_each_answer_has_an_id_and_says_what_it_is(self, base: str, session: LinkSession) -> None:
        answer = send(base, text(session))
        assert (answer.status_code, answer.json()) == (200, {"success": True, "outcome": "applied"})
        assert answer.headers["Content-Type"] == "application/json"
        assert len(answer.headers["X-Request-Id"]) == 32

    def test_what_many_send_at_once_each_once(self, base: str, session: LinkSession) -> None:
        bodies = [text(session, number % 100) for number in range(300)]
        assert outcomes(send_all(base, bodies)) == {"applied": 100, "no_change": 200}
        assert Message.objects.count() == 100

    def test_acks_only_move_up_whoever_is_first(self, base: str, session: LinkSession) -> None:
        bodies = [ack(session, number, level) for number in range(20) for level in (3, 1, 2)]
        bodies += [text(session, number) for number in range(20)]
        assert {answer.status_code for answer in send_all(base, bodies)} == {200}
        assert set(Message.objects.values_list("ack_level", "delivered", "body")) == {(3, True, "halo")}

    def test_by_version_2(self, base: str, session: LinkSession) -> None:
        for number in range(2):  # the first one shows that the bridge signs so, which Django notes
            raw, headers = signed_headers_2("alpha-hmac", text(session, number), event_id=f"e{number}")
            assert httpx.post(base + URL, content=raw, headers=headers).json()["outcome"] == "applied"
        answer = send(base, text(session, 3))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "VERSION_1_REFUSED")

    def test_beside_a_twin_process(self, base: str, session: LinkSession) -> None:
        with servers.portal() as twin, ThreadPoolExecutor(16) as pool:
            bodies = [text(session, number // 2) for number in range(200)]
            answers = list(pool.map(send, [base, twin] * 100, bodies))
        assert outcomes(answers) == {"applied": 100, "no_change": 100}
        assert Message.objects.count() == 100

    def test_in_a_process_for_webhooks_alone(self, session: LinkSession) -> None:
        with servers.portal(by=servers.UVICORN) as base:
            assert outcomes(send_all(base, [text(session, number) for number in range(50)])) == {"applied": 50}
            assert send(base, b"{").status_code == 400  # by Django

    def test_all_that_was_acknowledged_before_a_kill(self, session: LinkSession) -> None:
        acknowledged: list[str] = []
        numbers = itertools.count()
        for _ in range(3):
            with servers.portal() as base, ThreadPoolExecutor(8) as senders:
                for _ in range(8):
                    senders.submit(send_until_it_ends, base, session, numbers, acknowledged)
                enough = len(acknowledged) + 20
                while len(acknowledged) < enough:
                    time.sleep(random.uniform(0.01, 0.1))
                kill_the_server_at(base)
        assert set(acknowledged) <= set(Message.objects.values_list("message_id", flat=True))


class TestItLeavesToDjango:
    def test_a_file(self, base: str, session: LinkSession) -> None:
        body = {"event": "message_received", "data": {"session_id": session.session_id, "message": media(b"abc")}}
        assert send(base, body).json()["outcome"] == "applied"
        assert Message.objects.get().media

    def test_a_session_that_began_just_now(self, base: str, session: LinkSession, account: Account) -> None:
        send(base, text(session))
        other = Account.objects.create(workspace=account.workspace, label="other")
        begun = attempts.start(other.pk, trigger="test")
        assert send(base, text(begun)).json()["outcome"] == "applied"

    def test_one_that_is_unknown_is_counted(self, base: str, session: LinkSession) -> None:
        body = {"event": "message_delivered", "data": {"session_id": "webjs_nobody", "message_id": "x"}}
        assert send(base, body).json()["outcome"] == "unknown_session"
        assert UnmatchedTraffic.objects.get().session_id == "webjs_nobody"
        assert not Message.objects.exists()

    @pytest.mark.parametrize("raw", [b"[" * 100_000, b"{}", b"", b'{"event": 1, "data": {}}', b"\xff"])
    def test_what_cannot_be_read(self, base: str, session: LinkSession, raw: bytes) -> None:
        answer = send(base, raw)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"]

    def test_another_host(self, base: str, session: LinkSession) -> None:
        assert send(base, text(session)).status_code == 200
        assert send(base, text(session, 1), Host="elsewhere.example").status_code == 400
        assert Message.objects.count() == 1

    def test_a_body_in_chunks(self, base: str, session: LinkSession) -> None:
        assert send(base, text(session)).status_code == 200
        raw, headers = signed_headers("alpha-hmac", text(session, 1))
        answer = httpx.post(base + URL, content=iter([raw[:10], raw[10:]]), headers=headers)
        assert answer.json()["outcome"] == "applied"

    def test_what_waits_for_its_message_is_charged_once(self, session: LinkSession) -> None:
        """Its ack was here before: the door leaves the message to Django after it has taken it from the budget."""
        with servers.portal(LINKDESK_LIMIT_MESSAGES="3") as base:
            answers = [send(base, body) for body in [ack(session, 0, 1), text(session, 0), text(session, 1)]]
        assert [answer.json().get("outcome") for answer in answers] == ["applied"] * 3

    def test_a_stranger(self, base: str, session: LinkSession) -> None:
        answer = send(base, text(session), secret="nobody")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "INVALID_SIGNATURE")

    def test_the_one_of_many_that_the_database_refuses(self, base: str, session: LinkSession) -> None:
        """The others of its batch are stored."""
        with refusing("false_6281234567890@c.us_13"):
            answers = send_all(base, [text(session, number) for number in range(100)])
        assert Counter(answer.status_code for answer in answers)[200] >= 99
        assert Message.objects.count() == 99


class TestItRefuses:
    def test_a_secret_within_a_second_of_its_retirement(self, base: str, session: LinkSession) -> None:
        assert send(base, text(session)).status_code == 200
        BridgeSecret.objects.get(kind="hmac").retire()
        time.sleep(1)
        assert send(base, text(session, 1)).status_code == 401

    def test_what_is_over_the_budget_after_it_was_held(self, session: LinkSession) -> None:
        """Six at once: five are held for five seconds, for their bridge would lose them, and the sixth is refused."""
        with servers.portal(LINKDESK_LIMIT_MESSAGES="4") as base:
            assert outcomes(send_all(base, [text(session, number) for number in range(4)])) == {"applied": 4}
            began = time.monotonic()
            with ThreadPoolExecutor(6) as pool:
                taken = list(pool.map(lambda n: (send(base, text(session, n)), time.monotonic() - began), range(4, 10)))
        assert {answer.status_code for answer, _ in taken} == {429}
        assert {answer.json()["error"]["code"] for answer, _ in taken} == {"RATE_LIMITED"}
        assert sorted(seconds >= 5 for _, seconds in taken) == [False, *[True] * 5]
        assert Message.objects.count() == 4
        assert RateLimitCount.objects.get().count == 6

    def test_at_once_where_the_bridge_sends_it_again(self, session: LinkSession) -> None:
        with servers.portal(LINKDESK_LIMIT_MESSAGES="1") as base:
            send(base, text(session))
            began = time.monotonic()
            answer = send(base, text(session, 1), **{"X-Event-Id": "e"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, str(answer.json()["error"]["retry_after"]))
        assert time.monotonic() - began < 3


def send_until_it_ends(base: str, session: LinkSession, numbers: "itertools.count[int]", taken: list[str]) -> None:
    with suppress(httpx.TransportError):
        while True:
            body = text(session, next(numbers))
            if send(base, body).status_code == 200:
                taken.append(body["data"]["message"]["id"])


def kill_the_server_at(base: str) -> None:
    port = base.rpartition(":")[2]
    [server] = [child for child in psutil.Process().children() if port in child.cmdline()]
    server.kill()


@contextmanager
def refusing(message_id: str) -> Iterator[None]:
    """A database that does not take this message."""
    of_it = f"NEW.message_id = '{message_id}'"
    refuses = {
        "sqlite": f"WHEN {of_it} BEGIN SELECT RAISE(ABORT, 'too long'); END",
        "mysql": f"FOR EACH ROW IF {of_it} THEN SIGNAL SQLSTATE '22001' SET MYSQL_ERRNO = 1406; END IF",
    }
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TRIGGER refuses BEFORE INSERT ON whatsapp_messages {refuses[connection.vendor]}")
        yield
        cursor.execute("DROP TRIGGER refuses")
