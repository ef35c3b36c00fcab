"""Whom a recovery waits for at its bridge, how many it tries at once, and what that costs."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from accounts.delivery import dispatcher
from accounts.jobs import leases
from accounts.models import Bridge, BridgeOrder, Lease, LinkSession, Workspace
from accounts.orders import outbox
from accounts.reconcile import recovery
from tests.support import misbehaving
from tests.support.losses import bridge, linked, lose, lost_links, orders_of, pass_time, recover
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked"]

Kind, Why = BridgeOrder.Kind, BridgeOrder.Why
SOON = timedelta(minutes=10)


def test_not_for_stops_that_the_bridge_refuses(
    bridge: Bridge, workspace: Workspace, linked: LinkSession, node: MisbehavingBridge
) -> None:
    """They wait for up to a day, and are no tries of anybody's link."""
    for _ in range(recovery.AT_ONCE):
        outbox.order(linked, Kind.STOP, why=Why.RECONCILE, bridge_id=bridge.pk)
    BridgeOrder.objects.filter(kind=Kind.STOP).update(due_at=timezone.now() + SOON)
    sessions = lost_links(bridge, workspace, 3)
    recovery.run(bridge.pk)
    assert [orders_of(session) for session in sessions] == [["check"], ["check"], []]


@pytest.mark.parametrize("kind", [Kind.START, Kind.RECONNECT, Kind.CHECK])
def test_but_for_what_opens_there_or_asks(
    bridge: Bridge, workspace: Workspace, linked: LinkSession, node: MisbehavingBridge, kind: BridgeOrder.Kind
) -> None:
    for _ in range(recovery.AT_ONCE):
        outbox.order(linked, kind, why=Why.RECONCILE)
    sessions = lost_links(bridge, workspace, 3)
    recovery.run(bridge.pk)
    assert [orders_of(session) for session in sessions] == [[], [], []]


def test_a_question_of_somebody_else_is_waited_for_without_a_loop(
    portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
) -> None:
    lose(portal, linked, node)
    pass_time(16)
    outbox.order(linked, Kind.CHECK, why=Why.STAFF)
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


class TestTurns:
    def test_two_at_once_and_the_others_in_their_order(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge
    ) -> None:
        sessions = lost_links(bridge, workspace, 5)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
        node.running = {session.session_id for session in sessions}
        node.says = dict.fromkeys(node.running, "disconnected")
        node.plays(misbehaving.drops_the_line)  # nobody knows whether it was done: the turn is not over
        for _ in range(2):
            Lease.objects.all().delete()
            recover(bridge)
            told = BridgeOrder.objects.filter(kind=Kind.RECONNECT).order_by("pk")
            assert [order.session for order in told] == sessions[:2]
        node.plays(misbehaving.well)
        for _ in range(8):
            pass_time(121)  # the unclear ones are waited for no longer
            Bridge.objects.update(failing_since=None, orders_wait_until=None)
            dispatcher.sweep()
            recover(bridge)
        assert {path.split("/")[3] for _, path in node.commands} == node.running

    def test_what_waits_is_looked_at_again_by_one_task_only(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge
    ) -> None:
        lost_links(bridge, workspace, 5)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
        recovery.run(bridge.pk)
        assert leases.take(f"recovery of bridge {bridge.pk}", seconds=1) is None
        asked = BridgeOrder.objects.filter(kind=Kind.CHECK).count()
        for _ in range(10):
            recovery.run(bridge.pk)
        assert BridgeOrder.objects.filter(kind=Kind.CHECK).count() == asked == 2

    def test_a_run_costs_the_same_however_many_are_lost(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge
    ) -> None:
        def cost() -> int:
            Lease.objects.all().delete()
            with CaptureQueriesContext(
                connection,
            ) as queries:
                recovery.run(bridge.pk)
                recovery.sweep()
            return len(queries)

        lost_links(bridge, workspace, 3)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
        recovery.run(bridge.pk)  # the two turns are taken
        few = cost()
        for session in lost_links(bridge, Workspace.objects.create(name="Toko Bob"), 30):
            assert session.pk
        assert cost() == few
