"""Webhooks survive a portal that is away, slow or unwilling, and keep their order."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from bridge.database import Database
from bridge.outbox import store
from bridge.outbox.sender import LONGEST_RETRY_AFTER, LONGEST_WAIT, Sender, backoff, retry_after
from tests.support.bridge_world import (
    QUICK,
    SESSION,
    SILENT,
    Answer,
    Desk,
    Portal,
    Webhook,
    finished,
    running,
    settings,
    settled,
    until,
)

FLOW = ["qr_code_generated", "session_authenticated", "session_ready"]


def fails_first(times: int, answer: Answer) -> Callable[[Webhook], Answer]:
    """The first `times` tries of every event get `answer`."""
    seen: dict[str, int] = {}

    def decide(webhook: Webhook) -> Answer:
        identity = webhook.headers["X-Event-Id"]
        seen[identity] = seen.get(identity, 0) + 1
        return answer if seen[identity] <= times else Answer()

    return decide


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_what_may_pass_is_retried_in_order(portal: Portal, desk: Desk, status: int) -> None:
    portal.answer = fails_first(2, Answer(status))
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    assert portal.events() == FLOW
    assert [webhook.event for webhook in portal.attempts] == [event for event in FLOW for _ in range(3)]


async def test_a_retry_is_signed_anew_and_keeps_its_event_id(portal: Portal, desk: Desk) -> None:
    portal.answer = fails_first(1, Answer(503, {"Retry-After": "1"}))
    await desk.start(simulate=SILENT)
    await until(lambda: portal.accepted)
    first, second = portal.attempts
    assert first.raw == second.raw
    assert first.headers["X-Timestamp"] != second.headers["X-Timestamp"]
    assert first.headers["X-HMAC-Signature-V2"] != second.headers["X-HMAC-Signature-V2"]
    for name in ("X-Event-Id", "X-Bridge-Boot", "X-Bridge-Sequence"):
        assert first.headers[name] == second.headers[name]


async def test_retry_after_is_honoured(portal: Portal, desk: Desk) -> None:
    portal.answer = fails_first(1, Answer(429, {"Retry-After": "1"}))
    await desk.start(simulate=SILENT)
    await until(lambda: portal.accepted)
    first, second = portal.attempts
    assert 1 <= second.at - first.at < 5


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422, 301, 302, 307, 308])
async def test_what_will_never_pass_is_a_dead_letter_and_the_next_one_goes(
    portal: Portal, desk: Desk, status: int
) -> None:
    where = {"Location": f"http://127.0.0.1:{portal.port}/elsewhere"}
    portal.answer = lambda webhook: Answer(status, where) if webhook.event == FLOW[0] else Answer()
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    assert portal.events() == FLOW[1:]
    assert len(portal.attempts) == 3
    await settled(desk, dead=1)


async def test_a_refusing_portal_gets_everything_when_it_comes(portal: Portal, tmp_path: Path) -> None:
    await portal.close()
    async with running(portal, tmp_path) as desk:
        await desk.start(simulate=QUICK | {"scan_after": 0.1})
        await until(lambda: desk.bridge.registry.get(SESSION).status == "connected")
        await settled(desk, waiting=3)
        await portal.open()
        await until(lambda: portal.find("session_ready"))
    assert portal.events() == FLOW


async def test_a_portal_that_is_too_slow_is_asked_again(portal: Portal, tmp_path: Path) -> None:
    portal.answer = fails_first(1, Answer(200, delay=0.6))
    async with running(portal, tmp_path, webhook_timeout=0.2) as desk:
        await desk.start(simulate=SILENT)
        await until(lambda: len(portal.attempts) >= 2)
    first, second = portal.attempts[:2]
    assert first.headers["X-Event-Id"] == second.headers["X-Event-Id"]


async def test_only_the_newest_unsent_code_waits(portal: Portal, tmp_path: Path) -> None:
    await portal.close()
    async with running(portal, tmp_path) as desk:
        await desk.start(simulate=SILENT | {"qr_every": 0.05})
        await until(lambda: desk.bridge.registry.get(SESSION).qr_count >= 5)
        await settled(desk, waiting=1)
        await portal.open()
        await until(lambda: portal.accepted)
    assert portal.accepted[0].data["qr_count"] >= 5


async def test_a_newer_code_replaces_a_dead_one(portal: Portal, desk: Desk) -> None:
    portal.answer = lambda webhook: Answer(400 if len(portal.attempts) < 2 else 200)
    await desk.start(simulate=SILENT | {"qr_every": 0.5})
    await until(lambda: portal.accepted)
    await settled(desk)
    assert [webhook.status for webhook in portal.attempts[:3]] == [400, 400, 200]


async def test_one_stuck_session_does_not_hold_another(portal: Portal, desk: Desk) -> None:
    portal.answer = lambda webhook: Answer(503 if webhook.data["session_id"] == "stuck" else 200)
    await desk.start("stuck")
    await desk.start("free", account_id=12)
    await until(lambda: portal.find("session_ready"))
    assert portal.events("free") == FLOW
    assert portal.events("stuck") == []


async def test_sessions_go_side_by_side_at_most_ten_at_once(portal: Portal, desk: Desk) -> None:
    taken = asyncio.Event()
    portal.answer = lambda webhook: Answer(held=taken)
    await asyncio.gather(*(desk.start(f"s{n}", account_id=n, simulate=SILENT) for n in range(25)))
    await until(lambda: portal.together == 10)
    await asyncio.sleep(0.2)  # an eleventh would come now
    taken.set()
    await until(lambda: len(portal.accepted) == 25)
    assert portal.most_together == 10


async def test_a_burst_of_one_session_arrives_whole_and_in_order(portal: Portal, desk: Desk) -> None:
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    order = {"session_id": SESSION, "recipient_phone": "6281234567890"}
    for n in range(30):
        await desk.call("POST", "/api/messages/send", **order, message=str(n))
    await until(lambda: len(portal.find("message_delivered")) == 30)
    assert [sent.data["message"]["body"] for sent in portal.find("message_sent")] == [str(n) for n in range(30)]


async def test_dead_letters_are_listed_and_sent_again_on_command(portal: Portal, tmp_path: Path) -> None:
    portal.answer = lambda webhook: Answer(400)
    async with running(portal, tmp_path) as desk:
        await desk.start()
        await until(lambda: len(portal.attempts) == 3)
        await settled(desk, dead=3)
        portal.answer = lambda webhook: Answer()
        env = {"BRIDGE_DATA_DIR": str(tmp_path)}
        code, out, _ = await finished(env, "outbox", "list")
        assert code == 0
        assert [line.split("\t")[1] for line in out.splitlines()[:-1]] == FLOW
        assert "HTTP 400" in out
        assert "628" not in out
        first = out.split("\t")[0]
        assert (await finished(env, "outbox", "retry", first))[1] == "1 will be sent again\n"
        await until(lambda: len(portal.accepted) == 1)
        assert (await finished(env, "outbox", "retry", first))[0] == 1
        assert (await finished(env, "outbox", "retry"))[1] == "2 will be sent again\n"
        await until(lambda: len(portal.accepted) == 3)
        await settled(desk)
    assert portal.events() == FLOW
    refused = {webhook.headers["X-Event-Id"] for webhook in portal.attempts if webhook.status == 400}
    assert {webhook.headers["X-Event-Id"] for webhook in portal.accepted} == refused
    assert (await finished(env, "outbox", "list"))[1] == "0 dead, 0 waiting\n"


async def test_a_dead_letter_that_can_never_pass_is_dropped_on_command(portal: Portal, tmp_path: Path) -> None:
    portal.answer = lambda webhook: Answer(400)
    env = {"BRIDGE_DATA_DIR": str(tmp_path)}
    async with running(portal, tmp_path) as desk:
        await desk.start()
        await settled(desk, dead=3)
        lines = (await finished(env, "outbox", "list"))[1].splitlines()
        first, second = (line.split("\t")[0] for line in lines[:2])
        told = f"dropped {first}\tqr_code_generated\t{SESSION}\n"
        assert (await finished(env, "outbox", "drop", first))[:2] == (0, told)
        assert (await finished(env, "outbox", "drop", first))[:2] == (1, "")
        assert (await finished(env, "outbox", "retry", second))[0] == 0
        await until(lambda: len(portal.attempts) == 4)
        await settled(desk, dead=2)
    assert (await finished(env, "outbox", "drop"))[0] == 2  # never all of them


async def test_what_waits_is_not_dropped(portal: Portal, tmp_path: Path) -> None:
    await portal.close()
    async with running(portal, tmp_path) as desk:
        await desk.start(simulate=SILENT)
        await settled(desk, waiting=1)
        assert (await finished({"BRIDGE_DATA_DIR": str(tmp_path)}, "outbox", "drop", "1"))[:2] == (1, "")
        await settled(desk, waiting=1)


async def test_a_clock_that_was_set_back_holds_nothing(portal: Portal, tmp_path: Path) -> None:
    """The try was put off by a clock that was five hours ahead."""
    database = Database(tmp_path)
    data = {"session_id": SESSION, "workspace_id": 1}
    database.transact(lambda c: store.put(c, "session_ready", data=data, boot="b"))
    database.transact(lambda c: c.execute("UPDATE outbox SET next_try_at = ?", (time.time() + 5 * 3600,)))
    database.close()
    async with running(portal, tmp_path) as desk:
        await until(lambda: portal.find("session_ready"))
        await settled(desk)


async def test_a_letter_is_given_up_after_24_hours(portal: Portal, tmp_path: Path) -> None:
    portal.answer = lambda webhook: Answer(503)
    database = Database(tmp_path)
    data = {"session_id": SESSION, "workspace_id": 1}
    database.transact(lambda c: store.put(c, "session_ready", data=data, boot="b"))
    database.transact(lambda c: c.execute("UPDATE outbox SET give_up_at = give_up_at - 86400"))
    sender = Sender(database, settings(portal, tmp_path))
    await sender.start()
    await until(lambda: portal.attempts)
    await until(lambda: database.transact(store.dead_letters))
    await sender.stop(grace=1)
    assert "24 h" in database.transact(store.dead_letters)[0].last_error
    database.close()


def test_the_wait_doubles_from_about_a_second_to_a_minute() -> None:
    assert all(0.5 <= backoff(0, base=1) <= 1.5 for _ in range(100))
    assert all(4 <= backoff(3, base=1) <= 12 for _ in range(100))
    assert all(backoff(attempts, base=1) <= LONGEST_WAIT for attempts in (6, 10, 1000))


def test_retry_after_is_read_in_both_forms() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after({"Retry-After": "7"}) == 7
    assert 28 <= retry_after({"Retry-After": soon}) <= 30
    assert retry_after({}) == retry_after({"Retry-After": "soon"}) == retry_after({"Retry-After": "-3"}) == 0
    assert retry_after({"Retry-After": "9" * 400}) == LONGEST_RETRY_AFTER


def test_bodies_are_compact_raw_utf8_even_with_a_lone_surrogate() -> None:
    assert store.compact_json({"a": "✓", "b": [1, 2]}) == '{"a":"✓","b":[1,2]}'.encode()
    assert store.compact_json({"a": "\ud83d"}) == b'{"a":"\\ud83d"}'


async def test_an_event_is_on_disk_before_anything_is_sent(portal: Portal, desk: Desk, tmp_path: Path) -> None:
    def look(webhook: Webhook) -> Answer:
        with_its_own_eyes = Database(tmp_path)
        counts = with_its_own_eyes.transact(store.counts)
        with_its_own_eyes.close()
        found.append(counts["waiting"])
        return Answer()

    found: list[int] = []
    portal.answer = look
    await desk.start(simulate=SILENT)
    await until(lambda: portal.accepted)
    assert found == [1]
    await settled(desk)
