"""What becomes of an order without a clear answer: evidence decides, and a start is never repeated.

Who else could be there: a webhook that confirms the order, staff ending the session, the sweep with a look of its own.
"""

from datetime import timedelta

from django.utils import timezone

from accounts.bridges import circuit_breaker, client
from accounts.bridges.client import SCANNED, BridgeError
from accounts.jobs.queue import enqueue
from accounts.models import BridgeOrder
from accounts.orders import outbox, turns
from accounts.orders.outbox import LOOK_AGAIN, Kind, State

LOOK_SELDOM = 300  # seconds at the most: a hung bridge must not keep the workers from the others
LOOK_WITHIN = 10  # seconds, for one look at the list
STOPS_KEPT = timedelta(hours=24)  # how long a bridge that is away is told to stop a session


def has_the_next_look(order: BridgeOrder) -> bool:
    """One look at a time: each asks for the next one, and every sweep would add a chain of its own."""
    now = timezone.now()
    mine = BridgeOrder.objects.filter(pk=order.pk, state=State.UNCLEAR, due_at=order.due_at)
    return order.due_at <= now and bool(mine.update(due_at=now + timedelta(seconds=_pause(order))))


def _pause(order: BridgeOrder) -> float:
    age = (timezone.now() - (order.posted_at or order.created_at)).total_seconds()
    return min(max(LOOK_AGAIN, age / 4), LOOK_SELDOM)


def look_for_evidence(order: BridgeOrder) -> None:
    """The session list says whether it runs. A start is never repeated: a slow create would make two clients."""
    if not outbox.is_wanted(order):
        _see_to_its_end(order)
        return
    # A Node bridge lists a start from its first moment, and what shall reconnect was listed before: while it may be at
    # it only a scan proves that it is done, and its line stays taken. A code that comes confirms a start at once.
    # No list shows a device: what is not named any more may still be linked, with its login on the bridge's disk.
    runs = order.unlinks or _is_listed(order, scanned=turns.is_start(order) and may_have_arrived(order))
    if runs is not None and runs == (order.kind != Kind.STOP):
        outbox.close(order, State.CONFIRMED)
    elif order.kind == Kind.STOP and timezone.now() - order.created_at > STOPS_KEPT:
        outbox.close(order, State.FAILED, error=order.error)
    elif runs:  # a stop, then; stopping twice harms nobody
        again_at = timezone.now() + timedelta(seconds=order.pause)
        BridgeOrder.objects.filter(pk=order.pk, state=State.UNCLEAR).update(state=State.PENDING, due_at=again_at)
        enqueue("deliver_order", order.pk, delay=order.pause)
    else:
        enqueue("settle_order", order.pk, delay=_pause(order))


def _see_to_its_end(order: BridgeOrder) -> None:
    """Not wanted any more. A start may yet be carried out, after the stop of its session: then stop it again.

    It is looked for as long as the bridge may be at it; one that cannot be asked by then is told to stop. So is a stop
    whose session was reopened: the start that follows waits for it.
    """
    late, runs = may_have_arrived(order), _is_listed(order)
    if turns.is_start(order) and (runs or (runs is None and not late)):
        outbox.stop_again(order)
    if order.kind == Kind.STOP and runs is False:
        outbox.close(order, State.CONFIRMED)
    elif late:
        enqueue("settle_order", order.pk, delay=_pause(order))
    else:
        outbox.close(order, State.CANCELLED, error=order.error)


def may_have_arrived(order: BridgeOrder) -> bool:
    """Its bridge may be at it still: a create may take a minute."""
    return order.posted_at is not None and order.posted_at > turns.busy_since()


def _is_listed(order: BridgeOrder, *, scanned: bool = False) -> bool | None:
    """Whether the bridge runs its session, `scanned`: with a phone; None: it could not be asked."""
    line = turns.others(order)
    if circuit_breaker.pause(order.bridge) or not turns.enter(order, line, seconds=LOOK_WITHIN):
        return None
    try:
        listed = client.running_sessions(order.bridge)
    except BridgeError as error:
        circuit_breaker.failed(order.bridge, f"its list: {error}")
        return None
    finally:
        turns.leave(order, line)
    circuit_breaker.answered(order.bridge)
    found = listed.get(order.session.session_id)
    return found is not None and (not scanned or found.status in SCANNED)
