"""Orders to a bridge, written down in the transaction that wants them. `delivery.py` brings them about.

Who else could be there: the sweep, a webhook that confirms an order while its POST is still open, staff ending the
session in between. Every step is a compare-and-set on the order's state.
"""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from accounts.lifecycle import UNLINKING_ENDS
from accounts.models import BridgeOrder, LinkSession
from accounts.queue import enqueue

Kind, State = BridgeOrder.Kind, BridgeOrder.State

# The second and third hint are for a worker that was killed with the first in its hands.
HINTS = (0.0, 8.0, 25.0)
RECENT_STOP = 60  # seconds in which a stop that was carried out is not ordered again


def order(
    session: LinkSession, kind: BridgeOrder.Kind, *, delay: float = 0, logout: bool = False, why: str = ""
) -> BridgeOrder:
    """Write the order down, in the caller's transaction; it is delivered after the commit."""
    due_at = timezone.now() + timedelta(seconds=delay)
    made = BridgeOrder.objects.create(
        session=session, bridge_id=session.bridge_id, kind=kind, logout=logout, due_at=due_at, why=why
    )
    for hint in HINTS:
        enqueue("deliver_order", made.pk, delay=delay + hint)
    return made


def ask(session: LinkSession, why: BridgeOrder.Why) -> None:
    """Rule 0: an event and the record disagree, and either may be the newer. At most one open question a session.

    The caller holds the session's lock, so that a twin does not ask as well.
    """
    if not session.orders.filter(kind=Kind.CHECK, state__in=[State.PENDING, State.CLAIMED]).exists():
        order(session, Kind.CHECK, why=why)


def stop_resurrected(session: LinkSession, *, logout: bool = False) -> None:
    """Stop a session that has ended here and talks on, once: a bridge sends QR codes for such a one for ever."""
    logout = logout or session.end_reason in UNLINKING_ENDS
    stops = session.orders.filter(kind=Kind.STOP)
    if logout:  # a soft stop that still waits need not wait any more
        stops.filter(state=State.PENDING, logout=False).update(logout=True)
    lately = timezone.now() - timedelta(seconds=RECENT_STOP)
    done = Q(state__in=[State.CONFIRMED, State.FAILED], closed_at__gt=lately)
    if not stops.filter(done | Q(state__in=BridgeOrder.UNDER_WAY)).exists():
        order(session, Kind.STOP, logout=logout)


def hurry_stops(account_id: int) -> None:
    """The waiting stops of an account's soft ends go out now, and unlink: a reset is final."""
    waiting = BridgeOrder.objects.filter(session__account=account_id, kind=Kind.STOP, state=State.PENDING)
    for pk in list(waiting.values_list("pk", flat=True)):
        BridgeOrder.objects.filter(pk=pk, state=State.PENDING).update(logout=True, due_at=timezone.now())
        enqueue("deliver_order", pk)


def cancel_stop(session: LinkSession) -> bool:
    """Take back a stop that nobody has begun to deliver. False: the bridge may have stopped it already."""
    stops = session.orders.filter(kind=Kind.STOP)
    stops.filter(state=State.PENDING, attempts=0).update(state=State.CANCELLED, closed_at=timezone.now())
    return not stops.exclude(state=State.CANCELLED).exists()


def confirm_start(session: LinkSession) -> None:
    """The session talks, so it runs: whatever the POST answered or will answer."""
    waiting = session.orders.filter(kind__in=[Kind.START, Kind.RECONNECT], state__in=[State.CLAIMED, State.UNCLEAR])
    waiting.update(state=State.CONFIRMED, closed_at=timezone.now())
