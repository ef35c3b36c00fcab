"""A bridge says that it has stopped what has ended here, and runs it still: all are told in turn, and it is asked no
more often for it."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from accounts.bridges.client import Running
from accounts.models import Account, Bridge, BridgeOrder, Lease, LinkSession, Workspace
from accounts.reconcile import heartbeat, run, unwanted
from accounts.reconcile.said import Said

pytestmark = pytest.mark.django_db

Kind, State = BridgeOrder.Kind, BridgeOrder.State
RUNS = 23  # more than it is told of at once
BEATS = 4


@pytest.fixture
def ended(workspace: Workspace, bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Running]:
    """What it lists: all ended by a reset 20 minutes ago, and none told to stop."""
    monkeypatch.setattr(unwanted, "STOPS_SHARE", 1)
    account, ago = Account.objects.create(workspace=workspace), timezone.now() - timedelta(minutes=20)
    facts = {"account": account, "bridge": bridge, "started_at": ago, "ended_at": ago, "end_reason": "reset"}
    rows = [LinkSession.objects.create(session_id=f"s{number}", **facts) for number in range(RUNS)]
    return {row.session_id: Running(row.session_id, "qr_scanning") for row in rows}


def beat(bridge: Bridge, listed: Mapping[str, Running]) -> set[str]:
    """What it is told to stop; it says at once that it has."""
    told = heartbeat.hear(bridge.pk, Said(listed=listed), heartbeat=True).stop
    now = timezone.now()
    waiting = BridgeOrder.objects.filter(state=State.PENDING)
    waiting.update(state=State.CONFIRMED, closed_at=now)
    return set(told)


def pass_time(seconds: float) -> None:
    past = timezone.now() - timedelta(seconds=seconds)
    BridgeOrder.objects.filter(closed_at__gt=past).update(closed_at=past)


def polls() -> list[datetime]:
    """When it is asked for its list."""
    rows = [row for row in OrmQ.objects.order_by("lock") if "poll_bridge" in SignedPackage.loads(row.payload)["func"]]
    return [row.lock for row in rows]


def test_those_beyond_the_twentieth_are_told_first_next_time(bridge: Bridge, ended: Mapping[str, Running]) -> None:
    first = beat(bridge, ended)
    assert len(first) == unwanted.AT_ONCE
    pass_time(61)
    assert ended.keys() - first < beat(bridge, ended)


def test_and_so_is_whoever_was_not_told_for_longest(bridge: Bridge, ended: Mapping[str, Running]) -> None:
    for _ in range(BEATS):
        beat(bridge, ended)
        pass_time(61)
    counts = [session.orders.count() for session in LinkSession.objects.all()]
    assert sum(counts) == BEATS * unwanted.AT_ONCE
    assert max(counts) - min(counts) <= 1


def test_it_is_asked_again_only_for_those_that_it_was_never_told(
    bridge: Bridge, ended: Mapping[str, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "AGAIN", 0)
    beat(bridge, ended)
    assert len(polls()) == 1
    OrmQ.objects.all().delete()
    for _ in range(BEATS):
        pass_time(61)
        beat(bridge, ended)
    assert polls() == []


def test_one_such_question_waits_at_a_time(
    bridge: Bridge, ended: Mapping[str, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwanted, "AT_ONCE", 2)
    for _ in range(BEATS):
        beat(bridge, ended)
    (due,) = polls()
    assert timezone.now() < due < timezone.now() + timedelta(seconds=run.AGAIN + 1)
    assert Lease.objects.get(name=f"next poll of bridge {bridge.pk}").holder == ""  # else staff see it as abandoned


def test_and_the_next_one_follows_it(
    bridge: Bridge, ended: Mapping[str, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwanted, "AT_ONCE", 2)
    monkeypatch.setattr(run, "AGAIN", 0)
    for number in range(1, BEATS):
        beat(bridge, ended)
        assert len(polls()) == number
