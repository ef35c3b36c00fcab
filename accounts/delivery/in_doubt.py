"""Settles orders that got no clear answer: evidence decides, and a start is never repeated.

Who else could be there: a webhook that confirms the order, staff ending the session, the sweep looking as well.
"""

from collections.abc import Collection
from datetime import timedelta

from django.utils import timezone

from accounts.bridges import circuit_breaker, in_turn
from accounts.bridges.client import BEGUN, SCANNED, BridgeError
from accounts.delivery import retries
from accounts.jobs.queue import enqueue
from accounts.models import BridgeOrder
from accounts.orders import closing, outbox, turns

Kind, State = BridgeOrder.Kind, BridgeOrder.State

LOOK_SELDOM = 300  # seconds at the most: a hung bridge must not keep the workers from the others
LOOK_WITHIN = 14  # seconds, for one look at the list


def settle(order_id: int) -> None:
    """Bring an order to an end whose delivery was cut short or got no clear answer."""
    order = BridgeOrder.objects.select_related("session__account", "bridge").filter(pk=order_id).first()
    if order is None:
        return
    if order.state == State.CLAIMED and order.due_at <= timezone.now():
        retries.release(order)
    elif order.state == State.UNCLEAR and has_the_next_look(order):
        _look_for_evidence(order)
        turns.leave(order)


def has_the_next_look(order: BridgeOrder) -> bool:
    """Take the next look at the list. Each look enqueues the next, so a sweep must not add a second chain."""
    now = timezone.now()
    mine = BridgeOrder.objects.filter(pk=order.pk, state=State.UNCLEAR, due_at=order.due_at)
    return order.due_at <= now and bool(mine.update(due_at=now + timedelta(seconds=_pause(order))))


def _pause(order: BridgeOrder) -> float:
    age = (timezone.now() - (order.posted_at or order.created_at)).total_seconds()
    return min(max(closing.LOOK_AGAIN, age / 4), LOOK_SELDOM)


def _look_for_evidence(order: BridgeOrder) -> None:
    """Let the session list decide. A start is never repeated: after a slow create there would be two clients."""
    if not order.is_wanted:
        _see_to_its_end(order)
    elif order.kind == Kind.STOP:
        _look_for_a_stop(order)
    elif _is_listed(order, among=SCANNED if turns.may_have_arrived(order) else BEGUN):
        # A Node bridge lists a start at once, and a session that shall reconnect was listed before. So while it may
        # still be busy only a scan proves that it is done, and the slot stays taken. A code confirms it at once. What
        # is left of a client that is gone is listed too, and proves nothing.
        closing.confirm(order)
    else:
        _look_again(order)


def _look_for_a_stop(order: BridgeOrder) -> None:
    """Confirm a stop when the list does not name the session; else send it again.

    No list shows whether the device is still linked, so a stop that must unlink is sent until the bridge confirms it.
    """
    runs = order.unlinks or _is_listed(order)
    if runs is False:
        closing.confirm(order)
    elif retries.is_given_up(order):
        closing.close(order, State.FAILED)
    elif runs:
        _tell_again(order)
    else:
        _look_again(order)


def _tell_again(stop: BridgeOrder) -> None:
    """Send the stop again; stopping twice does no harm."""
    if BridgeOrder.objects.filter(pk=stop.pk).move([State.UNCLEAR], State.PENDING, due_in=stop.pause):
        enqueue("deliver_order", stop.pk, delay=stop.pause)


def _look_again(order: BridgeOrder) -> None:
    enqueue("settle_order", order.pk, delay=_pause(order))


def _see_to_its_end(order: BridgeOrder) -> None:
    """Close an order that is no longer wanted. A start may be carried out after its session's stop: stop it again then.

    Both a start and the stop of a reopened session are looked for while the bridge may be busy with them: the next
    start waits for that stop. If the bridge cannot be asked by then, a started session is stopped.
    """
    late, runs = turns.may_have_arrived(order), _is_listed(order)
    if order.is_start and (runs or (runs is None and not late)):
        outbox.stop_again(order)
    if order.kind == Kind.STOP and runs is False:
        closing.confirm(order)
    elif late:
        _look_again(order)
    else:
        closing.close(order, State.CANCELLED)


def _is_listed(order: BridgeOrder, *, among: Collection[str] | None = None) -> bool | None:
    """Whether the bridge lists its session (`among`: as one of these). None: it could not be asked."""
    with turns.short_turn(order.bridge, seconds=LOOK_WITHIN, order=order) as is_mine:
        return _find(order, among=among) if is_mine else None


def _find(order: BridgeOrder, *, among: Collection[str] | None) -> bool | None:
    bridge = order.bridge
    try:
        found = in_turn.find(bridge, order.session.session_id)
    except BridgeError as error:
        circuit_breaker.failed(bridge, f"its list: {error}")
        return None
    circuit_breaker.answered(bridge)
    return found is not None and (among is None or found.status in among)
