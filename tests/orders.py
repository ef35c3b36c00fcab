"""The orders of a session at a bridge that may misbehave, and the time that passes for them."""

from datetime import timedelta

import pytest
from django.db.models import F

from accounts import delivery, orders
from accounts.models import Bridge, BridgeOrder, LinkSession
from tests.conftest import make_bridge
from tests.misbehaving import MisbehavingBridge
from tests.queue import run_due_tasks

Kind, State = BridgeOrder.Kind, BridgeOrder.State


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    return make_bridge("alpha", url=node.url)


def start_of(session: LinkSession) -> BridgeOrder:
    return session.orders.get(kind=Kind.START)


def stop_of(session: LinkSession) -> BridgeOrder:
    return session.orders.get(kind=Kind.STOP)


def wait(order: BridgeOrder, seconds: float) -> None:
    """As if so much time had passed for the order, and the sweep had come by."""
    shift = timedelta(seconds=seconds)
    BridgeOrder.objects.filter(pk=order.pk).update(due_at=F("due_at") - shift)
    Bridge.objects.update(orders_wait_until=F("orders_wait_until") - shift)
    delivery.sweep()
    run_due_tasks()
    order.refresh_from_db()


def ask_for_evidence(order: BridgeOrder) -> None:
    wait(order, orders.LOOK_AGAIN)
