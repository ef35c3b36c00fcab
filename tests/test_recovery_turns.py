"""Whom a recovery waits for at its bridge, and for whom it does not."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from accounts import orders, recovery
from accounts.models import Bridge, BridgeOrder, LinkSession, Workspace
from tests.conftest import Portal
from tests.misbehaving import MisbehavingBridge
from tests.queue import run_due_tasks
from tests.test_recovery import bridge, linked, lose, lost_links, node, orders_of, pass_time

__all__ = ["bridge", "linked", "node"]

Kind, Why = BridgeOrder.Kind, BridgeOrder.Why
SOON = timedelta(minutes=10)


def test_not_for_stops_that_the_bridge_refuses(
    bridge: Bridge, workspace: Workspace, linked: LinkSession, node: MisbehavingBridge
) -> None:
    """They wait for up to a day, and are no tries of anybody's link."""
    for _ in range(recovery.AT_ONCE):
        orders.order(linked, Kind.STOP, why=Why.RECONCILE, bridge_id=bridge.pk)
    BridgeOrder.objects.filter(kind=Kind.STOP).update(due_at=timezone.now() + SOON)
    sessions = lost_links(bridge, workspace, 3)
    recovery.run(bridge.pk)
    assert [orders_of(session) for session in sessions] == [["check"], ["check"], []]


@pytest.mark.parametrize("kind", [Kind.START, Kind.RECONNECT, Kind.CHECK])
def test_but_for_what_opens_there_or_asks(
    bridge: Bridge, workspace: Workspace, linked: LinkSession, node: MisbehavingBridge, kind: BridgeOrder.Kind
) -> None:
    for _ in range(recovery.AT_ONCE):
        orders.order(linked, kind, why=Why.RECONCILE)
    sessions = lost_links(bridge, workspace, 3)
    recovery.run(bridge.pk)
    assert [orders_of(session) for session in sessions] == [[], [], []]


def test_a_question_of_somebody_else_is_waited_for_without_a_loop(
    portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
) -> None:
    lose(portal, linked, node)
    pass_time(16)
    orders.order(linked, Kind.CHECK, why=Why.STAFF)
    BridgeOrder.objects.filter(kind=Kind.CHECK).update(due_at=timezone.now() + SOON)
    OrmQ.objects.all().delete()
    recovery.run(bridge.pk)
    assert run_due_tasks(within=2) == 0
    BridgeOrder.objects.filter(kind=Kind.CHECK).update(due_at=timezone.now())
    OrmQ.objects.all().delete()
    pass_time(60)
    BridgeOrder.objects.filter(kind=Kind.CHECK).update(state=BridgeOrder.State.FAILED)
    assert recovery.sweep() == 1
    run_due_tasks()
    assert len(node.commands) == 1
