"""A link that drops within its quiet time is brought back when that time ends; at once, where the bridge lists it no
more (rules "Quiet time" and "Recovery")."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from accounts.lifecycle import QUIET_AFTER, RECOVER_AFTER
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.reconcile import recovery
from tests.support.losses import bridge, linked, lose
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked"]

pytestmark = pytest.mark.django_db

DROPS = (3, 20, 41, 60, 77, 90, 104, 112, 118)  # seconds after the scan
LATE = 6  # seconds: a hint each, for recovery, its question and its order


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=True) as travelling:
        yield travelling


def scanned(seconds: float) -> None:
    LinkSession.objects.update(authenticated_at=timezone.now() - timedelta(seconds=seconds))


def second(clock: time_machine.Traveller) -> None:
    clock.shift(1)
    Bridge.objects.update(last_heard_at=timezone.now())


def opened_after(node: MisbehavingBridge, clock: time_machine.Traveller) -> float:
    """Seconds until it was told to open it."""
    began = timezone.now()
    for _ in range(200):
        run_due_tasks()
        if node.commands:
            return (timezone.now() - began).total_seconds()
        second(clock)
    raise AssertionError("it never was")


@pytest.mark.parametrize("after", DROPS)
@pytest.mark.parametrize("listed", ["disconnected", "error"])
def test_it_comes_back_when_that_time_ends(
    portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller,
    after: int, listed: str,
) -> None:  # fmt: skip
    scanned(after)
    lose(portal, linked, node, listed=listed)
    passed = opened_after(node, clock)
    due = max(QUIET_AFTER - after, RECOVER_AFTER)
    assert due - 1 <= passed <= due + LATE  # the drop came a moment before this was measured
    assert node.commands == [("POST", f"/api/sessions/{linked}/reconnect")]


@pytest.mark.parametrize("after", DROPS)
def test_or_at_once_where_its_bridge_lists_it_no_more(
    portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller,
    after: int,
) -> None:  # fmt: skip
    scanned(after)
    lose(portal, linked, node)
    node.running = set()
    assert opened_after(node, clock) <= RECOVER_AFTER + LATE
    assert node.commands == [("POST", "/api/sessions")]


def test_its_page_says_when(
    portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller
) -> None:
    scanned(40)
    lose(portal, linked, node)
    for _ in range(75):
        second(clock)
        run_due_tasks()
    account = Account.objects.get(pk=linked.account_id)
    linked.refresh_from_db()
    assert recovery.next_try(account) == linked.quiet_until


def test_a_lost_hint_costs_a_minute_at_the_most(
    portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller
) -> None:
    scanned(100)
    lose(portal, linked, node)
    clock.shift(25)
    recovery.sweep()
    run_due_tasks()
    assert linked.orders.filter(kind=BridgeOrder.Kind.RECONNECT).count() == 1
