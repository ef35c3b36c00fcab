"""Bringing orders about: claimed, carried out, confirmed by evidence.

Who else could be there: a second hint for the same order, the sweep, a webhook that confirms the order while its
POST is still open, staff ending the session in between. Every step is a compare-and-set on the order's state.
"""

from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from accounts import bridge_client, evidence
from accounts.bridge_client import BridgeError
from accounts.locking import atomically
from accounts.models import BridgeOrder, LinkSession
from accounts.orders import Kind, State
from accounts.queue import enqueue

# Seconds; above what one delivery may take: a look at the list, then the command (bridge_client has both).
LEASE = 25
LOOK_AGAIN = 5  # seconds between the first looks for evidence; a quarter of the order's age later on
LOOK_SELDOM = 300  # seconds at the most: a hung bridge must not keep the workers from the others
CHECK_TRIES = 5
STOPS_KEPT = timedelta(hours=24)  # how long a bridge that is away is told to stop a session

_CARRY_OUT: dict[str, Callable[[BridgeOrder], object]] = {
    Kind.START: lambda order: bridge_client.start(order.session),
    Kind.RECONNECT: lambda order: bridge_client.reconnect(order.session),
    Kind.STOP: lambda order: bridge_client.stop(order.session, logout=order.logout),
    Kind.CHECK: lambda order: evidence.weigh(order, bridge_client.running_sessions(order.session.bridge)),
}


def deliver(order_id: int) -> None:
    """Carry the order out if it is due, wanted, and nobody else has it."""
    claimed = _claim(order_id)
    if claimed is None:
        return
    if not _is_wanted(claimed):
        _close(claimed, State.CANCELLED)
        return
    try:
        if not _runs_already(claimed):
            BridgeOrder.objects.filter(pk=claimed.pk).update(posted_at=timezone.now())
            _CARRY_OUT[claimed.kind](claimed)
    except BridgeError as error:
        _not_done(claimed, error)
    else:
        _close(claimed, State.CONFIRMED)


def settle(order_id: int) -> None:
    """Bring an order to an end whose delivery was cut short or got no clear answer."""
    order = BridgeOrder.objects.select_related("session__bridge").filter(pk=order_id).first()
    if order is None:
        return
    if order.state == State.CLAIMED and order.due_at <= timezone.now():
        _release(order)
    elif order.state == State.UNCLEAR and _has_the_next_look(order):
        _look_for_evidence(order)


def sweep() -> int:
    """Find what the queue lost: due orders, dead claims, unclear answers. Gives how many were looked at."""
    now = timezone.now()
    due = list(BridgeOrder.objects.filter(state=State.PENDING, due_at__lte=now).values_list("pk", flat=True)[:500])
    stuck = BridgeOrder.objects.filter(state__in=[State.CLAIMED, State.UNCLEAR], due_at__lte=now)
    unsettled = list(stuck.values_list("pk", flat=True)[:500])
    for pk in due:
        enqueue("deliver_order", pk)
    for pk in unsettled:
        enqueue("settle_order", pk)
    return len(due) + len(unsettled)


@atomically
def _claim(order_id: int) -> BridgeOrder | None:
    """Take the order, under the session's lock: two orders of one session are never on the wire together."""
    session_pk = BridgeOrder.objects.filter(pk=order_id).values_list("session_id", flat=True).first()
    if session_pk is None:
        return None
    LinkSession.objects.select_for_update().get(pk=session_pk)
    now = timezone.now()
    if BridgeOrder.objects.filter(session_id=session_pk, state=State.CLAIMED, due_at__gt=now).exists():
        enqueue("deliver_order", order_id, delay=2)
        return None
    order = BridgeOrder.objects.select_related("session__account", "session__bridge").get(pk=order_id)
    if order.state != State.PENDING or order.due_at > now:
        return None
    order.state, order.attempts, order.due_at = (
        State.CLAIMED,
        order.attempts + 1,
        now + timedelta(seconds=LEASE),
    )
    order.save(update_fields=["state", "attempts", "due_at"])
    enqueue("settle_order", order.pk, delay=LEASE + 1)  # for when this worker dies with it
    return order


def _is_wanted(order: BridgeOrder) -> bool:
    """A stop of a session that was reopened must not go out, nor anything else of one that has ended."""
    return order.session.is_open != (order.kind == Kind.STOP)


def _runs_already(order: BridgeOrder) -> bool:
    """Whatever may have been started before asks first: started twice, a Node bridge runs two clients."""
    before = order.session.orders.filter(kind=Kind.START, pk__lt=order.pk)  # it was reopened
    if order.kind != Kind.START or (order.posted_at is None and not before.exists()):
        return False
    try:
        return order.session.session_id in bridge_client.running_sessions(order.session.bridge)
    except BridgeError as error:  # whatever is wrong with the list, nothing was ordered yet
        raise BridgeError(f"its list: {error}") from error


def _not_done(order: BridgeOrder, error: BridgeError) -> None:
    if error.unclear and order.kind != Kind.CHECK:
        _close(order, State.UNCLEAR, error=str(error))
        enqueue("settle_order", order.pk, delay=LOOK_AGAIN)
    elif error.permanent or _is_given_up(order):
        _close(order, State.FAILED, error=str(error))
        enqueue("order_failed", order.pk)
    else:
        _put_back(order, error)


def _is_given_up(order: BridgeOrder) -> bool:
    """A start is tried until its session lapses; a stop for a day; a question is soon out of date."""
    if order.kind == Kind.STOP:
        return timezone.now() - order.created_at > STOPS_KEPT
    return order.kind == Kind.CHECK and order.attempts >= CHECK_TRIES


def _put_back(order: BridgeOrder, error: BridgeError) -> None:
    """Refused: 1, 2, 4, 8 s, then every 15 s; a stop more and more seldom, every 10 min at last."""
    delay = min(2.0 ** (order.attempts - 1), 600 if order.kind == Kind.STOP else 15)
    put_back = BridgeOrder.objects.filter(
        pk=order.pk, state=State.CLAIMED, attempts=order.attempts
    ).update(
        state=State.PENDING,
        due_at=timezone.now() + timedelta(seconds=delay),
        posted_at=order.posted_at,  # as before this try: what may have arrived then may still have
        error=str(error)[:300],
    )
    if put_back:
        enqueue("deliver_order", order.pk, delay=delay)


def _close(order: BridgeOrder, state: BridgeOrder.State, *, error: str = "") -> bool:
    """From claimed to `state`, unless a webhook has confirmed the order meanwhile."""
    open_still = BridgeOrder.objects.filter(pk=order.pk, state__in=[State.CLAIMED, State.UNCLEAR])
    now = timezone.now()
    when = {"due_at": now + timedelta(seconds=LOOK_AGAIN)} if state == State.UNCLEAR else {"closed_at": now}
    return bool(open_still.update(state=state, error=error[:300], **when))


def _release(order: BridgeOrder) -> None:
    """Its worker died, with `posted_at` around the POST: deliver it again, with a look at the list first."""
    dead = BridgeOrder.objects.filter(pk=order.pk, state=State.CLAIMED, due_at=order.due_at)
    if dead.update(state=State.PENDING, due_at=timezone.now(), error="the worker died with it"):
        enqueue("deliver_order", order.pk)


def _has_the_next_look(order: BridgeOrder) -> bool:
    """One look at a time: each asks for the next one, and every sweep would add a chain of its own."""
    now = timezone.now()
    mine = BridgeOrder.objects.filter(pk=order.pk, state=State.UNCLEAR, due_at=order.due_at)
    return order.due_at <= now and bool(mine.update(due_at=now + timedelta(seconds=_pause(order))))


def _pause(order: BridgeOrder) -> float:
    age = (timezone.now() - order.created_at).total_seconds()
    return min(max(LOOK_AGAIN, age / 4), LOOK_SELDOM)


def _look_for_evidence(order: BridgeOrder) -> None:
    """The session list says whether it runs. A start is never repeated: a slow create would make two clients."""
    if not _is_wanted(order):
        _close(order, State.CANCELLED, error=order.error)
        return
    try:
        runs = order.session.session_id in bridge_client.running_sessions(order.session.bridge)
    except BridgeError:
        runs = None
    if runs is not None and runs == (order.kind != Kind.STOP):
        _close(order, State.CONFIRMED)
    elif runs and order.kind == Kind.STOP:  # stopping twice harms nobody
        BridgeOrder.objects.filter(pk=order.pk, state=State.UNCLEAR).update(state=State.PENDING, due_at=timezone.now())
        enqueue("deliver_order", order.pk)
    elif order.kind == Kind.STOP and _is_given_up(order):
        _close(order, State.FAILED, error=order.error)
    else:
        enqueue("settle_order", order.pk, delay=_pause(order))
