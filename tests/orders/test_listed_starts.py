"""A start is done when the bridge lists a state that a start leads to. What is left of a client that is gone stands in
a Node bridge's list as well, and is opened anew."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import BridgeOrder, LinkSession
from accounts.orders import outbox
from tests.support.misbehaving import MisbehavingBridge, drops_the_line, faithful
from tests.support.orders import ask_for_evidence, bridge, linked, node
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked", "node"]

Why, State, Kind = BridgeOrder.Why, BridgeOrder.State, BridgeOrder.Kind

pytestmark = pytest.mark.django_db(transaction=True)

GONE = ["disconnected", "error", "", "undefined", "unpaired", "closed"]
RUNS = ["qr_scanning", "authenticated", "connected"]


@pytest.fixture
def lost(portal: Portal, linked: LinkSession, node: MisbehavingBridge) -> LinkSession:
    portal.post("session_disconnected", linked, reason="NAVIGATION")
    node.running, node.seen = {linked.session_id}, []
    return linked


def restored(session: LinkSession) -> BridgeOrder:
    return outbox.order(session, Kind.START, why=Why.RECONCILE)


@pytest.mark.parametrize("said", GONE)
def test_what_is_left_of_a_client_is_opened_anew_and_not_beside_it(
    lost: LinkSession, node: MisbehavingBridge, said: str
) -> None:
    node.says = {lost.session_id: said}
    order = restored(lost)
    run_due_tasks()
    order.refresh_from_db()
    assert node.commands == [("POST", f"/api/sessions/{lost}/reconnect")]
    assert order.state == State.CONFIRMED


@pytest.mark.parametrize("said", RUNS)
def test_what_runs_gets_no_second_client(lost: LinkSession, node: MisbehavingBridge, said: str) -> None:
    node.says = {lost.session_id: said}
    order = restored(lost)
    run_due_tasks()
    order.refresh_from_db()
    assert node.commands == []
    assert order.state == State.CONFIRMED


def test_what_is_not_listed_is_started(lost: LinkSession, node: MisbehavingBridge) -> None:
    node.running.clear()
    restored(lost)
    run_due_tasks()
    assert node.commands == [("POST", "/api/sessions")]


@pytest.mark.parametrize("kind", [Kind.START, Kind.RECONNECT])
@pytest.mark.parametrize("said", GONE)
def test_what_is_left_of_a_client_is_no_evidence_for_an_unclear_start(
    lost: LinkSession, node: MisbehavingBridge, said: str, kind: BridgeOrder.Kind
) -> None:
    node.plays(drops_the_line, faithful)
    node.says = {lost.session_id: said}
    order = outbox.order(lost, kind, why=Why.RECOVERY)
    run_due_tasks()
    for posted in (0, 70, 200):
        BridgeOrder.objects.update(posted_at=timezone.now() - timedelta(seconds=posted))
        ask_for_evidence(order)
        assert order.state == State.UNCLEAR
    node.says = {lost.session_id: "connected"}
    BridgeOrder.objects.update(due_at=timezone.now())
    ask_for_evidence(order)
    assert order.state == State.CONFIRMED
    assert len(node.commands) == 1
