"""A claim that lasted too long, and somebody else who has the order by then: its try, its place, its answer."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.utils import timezone

from accounts.delivery import dispatcher, in_doubt
from accounts.models import Account, BridgeOrder, Lease, LinkSession, Workspace
from accounts.orders import outbox, turns
from accounts.pairing import attempts
from tests.support import misbehaving
from tests.support.misbehaving import Act, Conversation, MisbehavingBridge, Seen, faithful, status
from tests.support.orders import bridge, node, start_of
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "node"]

Kind, State = BridgeOrder.Kind, BridgeOrder.State

pytestmark = pytest.mark.django_db(transaction=True)


def lapse(order: BridgeOrder) -> None:
    """As if its worker had frozen for longer than its claim, and the sweep had come by."""
    BridgeOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    in_doubt.settle(order.pk)


def meanwhile(event: Callable[[], object], then: Act) -> Act:
    """Inside the request, on the connection of the bridge's own thread."""

    def act(talk: Conversation, seen: Seen) -> None:
        try:
            event()
        finally:
            connection.close()
        then(talk, seen)

    return act


def test_a_start_that_takes_longer_than_the_claim_has_one_client(node: MisbehavingBridge, session: LinkSession) -> None:
    order = start_of(session)

    def frozen() -> None:
        lapse(order)
        run_due_tasks(within=10)
        dispatcher.deliver(order.pk)

    node.plays(meanwhile(frozen, faithful), faithful)
    dispatcher.deliver(order.pk)
    assert node.clients == {session.session_id: 1}
    order.refresh_from_db()
    assert order.state == State.CONFIRMED


def test_whoever_reads_the_list_for_too_long_sends_nothing(node: MisbehavingBridge, session: LinkSession) -> None:
    """The twin has the claim by then, and its own POST goes out."""
    run_due_tasks()
    node.running.clear()
    again = outbox.order(session, Kind.START)  # it was reopened
    twins: list[BridgeOrder | None] = []

    def twin() -> None:
        lapse(again)
        twins.append(dispatcher._claim(again.pk))

    node.lists = meanwhile(twin, misbehaving.list_sessions)
    dispatcher.deliver(again.pk)
    assert twins[0] is not None
    assert node.commands == [("POST", "/api/sessions")]


def test_an_answer_that_comes_too_late_is_not_the_twins(node: MisbehavingBridge, session: LinkSession) -> None:
    run_due_tasks()
    attempts.force_reset(session.account_id)
    stop = session.orders.get(kind=Kind.STOP)

    def twin() -> None:
        lapse(stop)
        assert dispatcher._claim(stop.pk) is not None

    node.plays(meanwhile(twin, status(500)))
    dispatcher.deliver(stop.pk)
    stop.refresh_from_db()
    assert (stop.state, stop.attempts) == (State.CLAIMED, 2)


def test_of_two_who_saw_the_same_unclear_order_one_looks(session: LinkSession) -> None:
    BridgeOrder.objects.update(state=State.UNCLEAR, posted_at=timezone.now(), due_at=timezone.now())
    first, twin = start_of(session), start_of(session)
    assert [in_doubt.has_the_next_look(first), in_doubt.has_the_next_look(twin)] == [True, False]


def test_whoever_lost_its_place_in_line_stands_in_it_again(
    node: MisbehavingBridge, workspace: Workspace, session: LinkSession
) -> None:
    """Between its claim and its POST it froze, and another start is at the bridge now: two at once are too many."""
    second = attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
    frozen = dispatcher._claim(start_of(session).pk)
    Lease.objects.update(until=timezone.now())
    assert dispatcher._claim(start_of(second).pk) is not None
    assert frozen is not None
    dispatcher._carry_out(frozen)
    waiting = start_of(session)
    assert (waiting.state, waiting.attempts, waiting.posted_at, node.seen) == (State.PENDING, 0, None, [])
    assert Lease.objects.get(name=turns.name_of(frozen)).holder == f"order:{start_of(second).pk}"
