"""Orders to a bridge, written down in the transaction that wants them. `accounts/delivery` brings them about.

Who else could be there: a worker that has begun to deliver an order that is taken back or hurried here. Both are a
compare-and-set on the order's state.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.lifecycle import UNLINKING_ENDS
from accounts.models import BridgeOrder, LinkSession, User

Kind, State = BridgeOrder.Kind, BridgeOrder.State

# Seconds. The second and third hint are for when a worker was killed while it held the first.
HINTS = (0.0, 8.0, 25.0)
STOPS_WITHIN = 600  # seconds; a bridge that still runs a session this long after its stop is told again
# Seconds after a stop that was carried out in which it is not ordered again: 1, 2, 4 and so on. A Node bridge opens by
# itself what it was told to stop within 5 s after a loss; one that does not stop is told once a minute.
LONGEST_PAUSE = 60


def order(
    session: LinkSession,
    kind: BridgeOrder.Kind,
    *,
    delay: float = 0,
    logout: bool = False,
    why: str = "",
    bridge_id: int | None = None,
    phone_number: str = "",
    actor: User | None = None,
) -> BridgeOrder:
    """Write the order down, in the caller's transaction; it is delivered after the commit.

    It goes to the session's owner, or to `bridge_id`, a rival that shall stop the session.
    """
    made = BridgeOrder.objects.create(
        session=session,
        bridge_id=bridge_id or session.bridge_id,
        kind=kind,
        logout=logout,
        why=why,
        phone_number=phone_number,
        actor=actor,
        due_at=timezone.now() + timedelta(seconds=delay),
    )
    for hint in HINTS:
        enqueue("deliver_order", made.pk, delay=delay + hint)
    return made


def ask(session: LinkSession, why: BridgeOrder.Why, *, anew: bool = False) -> None:
    """Order a check: an event and the record disagree, and either may be newer (rule "Ask the bridge").

    Only one is open at a time. `anew`: one that is on its way does not count, as it may have read the list before the
    event. The caller holds the session's lock, so that a twin does not ask as well.
    """
    covering = [State.PENDING] if anew else [State.PENDING, State.CLAIMED]
    if not session.orders.filter(kind=Kind.CHECK, state__in=covering).exists():
        order(session, Kind.CHECK, why=why)


def stop_resurrected(session: LinkSession, *, logout: bool = False) -> bool:
    """Stop a session that has ended here but still runs: a bridge would send QR codes for ever. Gives whether a stop
    was ordered; not while one is under way, nor just after one.

    The caller holds the session's lock.
    """
    logout = logout or session.end_reason in UNLINKING_ENDS
    stops = session.orders.filter(kind=Kind.STOP, bridge=session.bridge_id)
    if logout:  # a soft stop that still waits must unlink as well
        stops.filter(state=State.PENDING, logout=False).update(logout=True)
    closed = Q(
        state__in=[State.CONFIRMED, State.FAILED], closed_at__gt=timezone.now() - timedelta(seconds=STOPS_WITHIN)
    )
    told = list(stops.filter(closed | Q(state__in=BridgeOrder.UNDER_WAY)).values_list("closed_at", flat=True))
    if None in told:
        return False
    # A start whose answer is unclear may have arrived after the stop that was carried out.
    unclear = session.orders.filter(kind__in=BridgeOrder.OPENING, state=State.UNCLEAR)
    if _was_just_now([at for at in told if at]) and not unclear.exists():
        return False
    order(session, Kind.STOP, logout=logout)
    return True


def _was_just_now(stopped: Sequence[datetime]) -> bool:
    """Whether the last of its stops was carried out so lately that what is heard of it may be older."""
    pause = min(2.0 ** min(len(stopped) - 1, 10), LONGEST_PAUSE)
    return bool(stopped) and max(stopped) > timezone.now() - timedelta(seconds=pause)


@atomically
def stop_again(started: BridgeOrder) -> None:
    """Stop a session that had ended before the bridge began to run it: an earlier stop has stopped nothing.

    It holds the session's lock, so that nobody reopens the session or orders the same meanwhile.
    """
    session = locks.row(LinkSession, pk=started.session_id)
    if session.is_open and session.bridge_id == started.bridge_id:
        return
    stops = session.orders.filter(kind=Kind.STOP, bridge=started.bridge_id)
    if not stops.filter(state__in=BridgeOrder.UNDER_WAY).exists():
        order(session, Kind.STOP, logout=session.end_reason in UNLINKING_ENDS, bridge_id=started.bridge_id)


def being_stopped(bridge_id: int, sessions: list[int]) -> set[int]:
    """Those of `sessions` that this bridge was told to stop lately, so that it may well still run them."""
    lately = timezone.now() - timedelta(seconds=STOPS_WITHIN)
    stops = BridgeOrder.objects.filter(bridge=bridge_id, kind=Kind.STOP, session__in=sessions)
    told = stops.filter(Q(created_at__gt=lately) | Q(state__in=BridgeOrder.UNDER_WAY))
    return set(told.values_list("session_id", flat=True)) if sessions else set()


def hurry_stops(account_id: int) -> None:
    """Send the waiting stops of an account's soft ends now, and let them unlink: a reset is final."""
    waiting = BridgeOrder.objects.filter(session__account=account_id, kind=Kind.STOP, state=State.PENDING)
    for pk in list(waiting.values_list("pk", flat=True)):
        BridgeOrder.objects.filter(pk=pk, state=State.PENDING).update(logout=True, due_at=timezone.now())
        enqueue("deliver_order", pk)


def cancel_stop(session: LinkSession) -> bool:
    """Take back a stop that nobody has begun to deliver. False: the bridge may have stopped it already."""
    stops = session.orders.filter(kind=Kind.STOP, bridge=session.bridge_id)
    stops.filter(attempts=0).move([State.PENDING], State.CANCELLED)
    return not stops.exclude(state=State.CANCELLED).exists()
