"""What becomes of an order without a clear answer: evidence decides, and a start is never repeated.

Who else could be there: a webhook that confirms the order, staff ending the session, the sweep with a look of its own.
"""

from datetime import timedelta

from django.utils import timezone

from accounts.bridges import circuit_breaker, client
from accounts.bridges.client import SCANNED, BridgeError, Running
from accounts.delivery import retries
from accounts.jobs.queue import enqueue
from accounts.models import Bridge, BridgeOrder
from accounts.orders import closing, outbox, turns

Kind, State = BridgeOrder.Kind, BridgeOrder.State

LOOK_SELDOM = 300  # seconds at the most: a hung bridge must not keep the workers from the others
LOOK_WITHIN = 10  # seconds, for one look at the list


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
    """One look at a time: each asks for the next one, and every sweep would add a chain of its own."""
    now = timezone.now()
    mine = BridgeOrder.objects.filter(pk=order.pk, state=State.UNCLEAR, due_at=order.due_at)
    return order.due_at <= now and bool(mine.update(due_at=now + timedelta(seconds=_pause(order))))


def _pause(order: BridgeOrder) -> float:
    age = (timezone.now() - (order.posted_at or order.created_at)).total_seconds()
    return min(max(closing.LOOK_AGAIN, age / 4), LOOK_SELDOM)


def _look_for_evidence(order: BridgeOrder) -> None:
    """The session list says whether it runs. A start is never repeated: a slow create would make two clients."""
    if not order.is_wanted:
        _see_to_its_end(order)
    elif order.kind == Kind.STOP:
        _look_for_a_stop(order)
    elif _is_listed(order, scanned=turns.may_have_arrived(order)):
        # A Node bridge lists a start from its first moment, and what shall reconnect was listed before: while it may be
        # at it only a scan proves that it is done, and its slot stays taken. A code that comes confirms it at once.
        closing.confirm(order)
    else:
        _look_again(order)


def _look_for_a_stop(order: BridgeOrder) -> None:
    """No list shows a device: what is not named any more may still be linked, with its login on the bridge's disk.

    So a stop that must unlink is told again until the bridge says that it did.
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
    """Stopping twice harms nobody."""
    if BridgeOrder.objects.filter(pk=stop.pk).move([State.UNCLEAR], State.PENDING, due_in=stop.pause):
        enqueue("deliver_order", stop.pk, delay=stop.pause)


def _look_again(order: BridgeOrder) -> None:
    enqueue("settle_order", order.pk, delay=_pause(order))


def _see_to_its_end(order: BridgeOrder) -> None:
    """Not wanted any more. A start may yet be carried out, after the stop of its session: then stop it again.

    It is looked for as long as the bridge may be at it; one that cannot be asked by then is told to stop. So is a stop
    whose session was reopened: the start that follows waits for it.
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


def _is_listed(order: BridgeOrder, *, scanned: bool = False) -> bool | None:
    """Whether the bridge runs its session, `scanned`: with a phone; None: it could not be asked."""
    with turns.short_turn(order.bridge, seconds=LOOK_WITHIN, order=order) as is_mine:
        listed = _list_of(order.bridge) if is_mine else None
    if listed is None:
        return None
    found = listed.get(order.session.session_id)
    return found is not None and (not scanned or found.status in SCANNED)


def _list_of(bridge: Bridge) -> dict[str, Running] | None:
    try:
        listed = client.running_sessions(bridge)
    except BridgeError as error:
        circuit_breaker.failed(bridge, f"its list: {error}")
        return None
    circuit_breaker.answered(bridge)
    return listed
