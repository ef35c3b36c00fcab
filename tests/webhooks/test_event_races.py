"""Sixteen events of one session within one second: none is lost and none counts twice."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from accounts.lifecycle import Status
from accounts.models import Account, BridgeOrder, LinkSession
from tests.support.links import READY, status_of
from tests.support.races import (
    assert_every_history_is_a_legal_chain,
    assert_nothing_failed,
    at_once,
    until_taken,
)
from tests.support.refusals import post
from tests.support.signing import signed_headers, signed_headers_2
from webhooks.models import WebhookEvent

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

SIXTEEN = range(1, 17)
STORY = [("session_disconnected", {"reason": "NAVIGATION"}), ("session_ready", READY)]


@pytest.fixture(autouse=True)
def generous(settings: Any) -> None:
    settings.LINKDESK_LIMIT_LIFECYCLE = settings.LINKDESK_LIMIT_OTHERS = 100_000


def body(session: LinkSession, number: int, **more: Any) -> dict[str, Any]:
    """Odd ones tell a loss and even ones a `ready`: the last is a `ready`."""
    event, data = STORY[(number + 1) % 2]
    return {"event": event, "data": {"session_id": session.session_id, **data, **more}}


def by_version_1(session: LinkSession, number: int, *, at: int, ids: bool, **more: Any) -> Any:
    raw, headers = signed_headers("alpha-hmac", body(session, number, **more), at=at)
    named = {"X-Event-Id": f"e{number}", "X-Bridge-Boot": "b", "X-Bridge-Sequence": str(number)}
    return post(raw, headers | (named if ids else {}))


def by_version_2(session: LinkSession, number: int, *, at: int) -> Any:
    named: dict[str, Any] = {"event_id": f"e{number}", "boot": "b", "sequence": number}
    return post(*signed_headers_2("alpha-hmac", body(session, number), at=at, **named))


def all_at_once(sends: Sequence[Callable[[], Any]]) -> list[str]:
    answers = at_once([partial(until_taken, send) for send in sends])
    assert {getattr(answer, "status_code", answer) for answer in answers} == {200}
    return [answer.json()["outcome"] for answer in answers]


def assert_all_are_kept_once(told: list[str]) -> None:
    assert "duplicate" not in told
    assert "failed" not in told
    assert WebhookEvent.objects.count() == 16
    assert_nothing_failed()
    assert_every_history_is_a_legal_chain()


def test_by_version_2_with_equal_bodies(session: LinkSession, account: Account) -> None:
    now = int(time.time())
    assert_all_are_kept_once(all_at_once([partial(by_version_2, session, number, at=now) for number in SIXTEEN]))
    assert WebhookEvent.objects.values("event_id").distinct().count() == 16
    assert status_of(account) == Status.CONNECTED


def test_by_version_2_where_the_last_is_a_loss(session: LinkSession, account: Account) -> None:
    by_version_2(session, 2, at=int(time.time()) - 1)
    now, told = int(time.time()), range(3, 18)
    all_at_once([partial(by_version_2, session, number, at=now) for number in told])
    assert WebhookEvent.objects.count() == 16
    assert_nothing_failed()
    assert status_of(account) == Status.DISCONNECTED


def test_a_ready_between_two_losses_does_not_undo_the_second(session: LinkSession, account: Account) -> None:
    now = int(time.time())
    told = [by_version_2(session, number, at=now).json()["outcome"] for number in (2, 3, 5, 4)]
    assert told == ["applied", "applied", "no_change", "stale"]
    assert status_of(account) == Status.DISCONNECTED
    assert session.orders.filter(kind=BridgeOrder.Kind.CHECK).exists()  # the list has the last word


def test_by_version_2_each_of_them_twice(session: LinkSession, account: Account) -> None:
    now = int(time.time())
    sends = [partial(by_version_2, session, number, at=now + late) for late in (0, 1) for number in SIXTEEN]
    told = all_at_once(sends)
    assert told.count("duplicate") == 16
    assert WebhookEvent.objects.count() == 16
    assert status_of(account) == Status.CONNECTED


@pytest.mark.parametrize("ids", [True, False])
def test_by_version_1_with_bodies_that_differ(session: LinkSession, account: Account, ids: bool) -> None:
    now = int(time.time())
    sends = [partial(by_version_1, session, number, at=now, ids=ids, platform=f"p{number}") for number in SIXTEEN]
    assert_all_are_kept_once(all_at_once(sends))
    if ids:
        assert status_of(account) == Status.CONNECTED


def test_by_version_1_with_equal_bodies_in_their_order(session: LinkSession, account: Account) -> None:
    now = int(time.time())
    told = [by_version_1(session, number, at=now, ids=True).json()["outcome"] for number in SIXTEEN]
    assert_all_are_kept_once(told)
    assert status_of(account) == Status.CONNECTED


def test_by_version_1_with_equal_bodies_in_any_order(session: LinkSession, account: Account) -> None:
    """One that comes after a later one equals a replay: it is a duplicate, and the bridge is asked. No number twice."""
    now = int(time.time())
    told = all_at_once([partial(by_version_1, session, number, at=now, ids=True) for number in SIXTEEN])
    stored = list(WebhookEvent.objects.values_list("sequence", flat=True))
    assert len(stored) == len(set(stored)) == 16 - told.count("duplicate")
    assert 16 in stored
    assert_nothing_failed()
    assert_every_history_is_a_legal_chain()
    assert session.orders.filter(kind=BridgeOrder.Kind.CHECK).exists() or "duplicate" not in told


def test_copies_of_one_request_under_other_ids_are_one_event(session: LinkSession) -> None:
    """A replay with made-up ids and one number: whichever comes first is the event."""
    raw, headers = signed_headers("alpha-hmac", body(session, 2))

    def replay(name: int) -> Any:
        return post(raw, headers | {"X-Event-Id": f"e{name}", "X-Bridge-Boot": "b", "X-Bridge-Sequence": "5"})

    told = all_at_once([partial(replay, name) for name in SIXTEEN])
    assert told.count("duplicate") == 15
    assert WebhookEvent.objects.count() == 1
