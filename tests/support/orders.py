"""The orders of a session at a bridge that may misbehave, and the time that passes for them."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models import F

from accounts.delivery import dispatcher
from accounts.models import Bridge, BridgeOrder, LinkSession
from accounts.orders import closing
from tests.support.links import link
from tests.support.misbehaving import MisbehavingBridge, faithful, misbehaving_bridge
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks

Kind, State = BridgeOrder.Kind, BridgeOrder.State


@pytest.fixture
def node() -> Iterator[MisbehavingBridge]:
    """It runs what it is told to run, and stops what it is told to stop."""
    with misbehaving_bridge() as server:
        server.plays(faithful)
        yield server


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    return make_bridge("alpha", url=node.url)


@pytest.fixture
def linked(portal: Portal, session: LinkSession) -> LinkSession:
    run_due_tasks()
    link(portal, session)
    return session


def start_of(session: LinkSession) -> BridgeOrder:
    return session.orders.get(kind=Kind.START)


def stop_of(session: LinkSession) -> BridgeOrder:
    return session.orders.get(kind=Kind.STOP)


def wait(order: BridgeOrder, seconds: float) -> None:
    """As if so much time had passed for the order, and the sweep had come by."""
    shift = timedelta(seconds=seconds)
    BridgeOrder.objects.filter(pk=order.pk).update(due_at=F("due_at") - shift)
    Bridge.objects.update(orders_wait_until=F("orders_wait_until") - shift)
    dispatcher.sweep()
    run_due_tasks()
    order.refresh_from_db()


def ask_for_evidence(order: BridgeOrder) -> None:
    wait(order, closing.LOOK_AGAIN)
