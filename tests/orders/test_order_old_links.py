"""A link whose first start nobody remembers: before it is started again, its bridge is asked whether it runs."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.housekeeping import retention
from accounts.lifecycle import Status
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.orders import outbox
from tests.support.links import READY
from tests.support.misbehaving import MisbehavingBridge
from tests.support.orders import bridge, linked, node, start_of
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked", "node"]

Why, State = BridgeOrder.Why, BridgeOrder.State

pytestmark = pytest.mark.django_db(transaction=True)


def grown_old() -> None:
    ago = timezone.now() - timedelta(days=100)
    BridgeOrder.objects.update(created_at=ago, closed_at=ago)
    assert retention.run()["orders"] == 1


def adopted() -> None:
    BridgeOrder.objects.all().delete()


def test_what_a_restored_backup_has_not_told_its_bridge_yet_gets_no_second_client(
    node: MisbehavingBridge, session: LinkSession
) -> None:
    start_of(session)
    node.running.add(session.session_id)  # told after the backup was made
    BridgeOrder.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    LinkSession.objects.update(first_qr_at=timezone.now())  # its code was there a moment later

    run_due_tasks()

    assert start_of(session).state == State.CONFIRMED
    assert not node.doubled


@pytest.mark.parametrize("came", [grown_old, adopted])
@pytest.mark.parametrize("why", [Why.RECOVERY, Why.RECONCILE])
def test_what_its_bridge_has_restored_meanwhile_gets_no_second_client(
    node: MisbehavingBridge,
    portal: Portal,
    account: Account,
    linked: LinkSession,
    came: Callable[[], None],
    why: BridgeOrder.Why,
) -> None:
    came()
    portal.post("session_disconnected", linked, reason="NAVIGATION")
    node.running.clear()
    outbox.order(linked, BridgeOrder.Kind.START, why=why)
    node.running.add(linked.session_id)  # while the order waited in line
    portal.post("session_ready", linked, **READY)

    run_due_tasks()

    assert (node.clients[linked.session_id], node.doubled) == (1, set())
    assert start_of(linked).state == State.CONFIRMED
    account.refresh_from_db()
    assert account.status == Status.CONNECTED


def test_and_what_it_has_not_is_started(node: MisbehavingBridge, portal: Portal, linked: LinkSession) -> None:
    grown_old()
    portal.post("session_disconnected", linked, reason="NAVIGATION")
    node.running.clear()
    outbox.order(linked, BridgeOrder.Kind.START, why=Why.RECOVERY)
    run_due_tasks()
    assert (node.clients[linked.session_id], node.doubled) == (2, set())
