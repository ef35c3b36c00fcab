"""A lost link comes back (rule "Recovery"): the bridge tries first, then we do, more and more seldom and without end.

Each try asks the bridge; its answer decides what is ordered (`session_list.py`). Orders tell what was tried.
Who else could be there: the bridge's own attempts, a second run, reconcile, staff.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, OuterRef, Q, Subquery
from django.utils import timezone

from accounts import failures
from accounts.bridges import in_turn, ownership, presence
from accounts.db.transactions import atomically
from accounts.jobs import leases
from accounts.jobs.queue import enqueue
from accounts.lifecycle import QUIET_AFTER, RECOVER_AFTER, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.orders import outbox
from accounts.pairing.bridge_events import lock_session
from accounts.reconcile import opening
from accounts.reconcile import run as reconcile

# Seconds after the loss, or after the bridge is heard of again: 15, 30, 60, 120, 240, and then every 10 minutes.
QUICK = 200  # until then each pause is as long as what has passed
PAUSE = 600
AT_ONCE = 2  # tries of one bridge: each may open a browser there
TURN = 3  # seconds until those who wait for their turn are looked at again
RUN_WITHIN = 30  # seconds; a run that takes longer is dead
LOOKED_AT = 5000  # lost links of one bridge; more than it can hold
# Stops do not count: reconcile orders them too, and one that the bridge refuses would block a turn for a day.
TRIES = (outbox.Kind.CHECK, outbox.Kind.START, outbox.Kind.RECONNECT)


@dataclass(frozen=True)
class Lost:
    session_pk: int
    due_at: datetime


def run(bridge_id: int) -> None:
    """Try what is due at this bridge, two at once; the others wait for a turn. Safe when it runs twice."""
    name = f"recovery of bridge {bridge_id}"
    holder = leases.take(name, seconds=RUN_WITHIN)
    if holder is None:
        return  # a twin is at it, or has just been and comes again
    if _try_those_due(bridge_id):
        leases.extend(name, holder, seconds=TURN)
        enqueue("recover_bridge", bridge_id, delay=TURN + 1)
    else:
        leases.release(name, holder)


def sweep() -> int:
    """Run recovery for bridges whose hints were lost, and for the rare tries. Gives how many have lost links."""
    heard_after = timezone.now() - timedelta(seconds=presence.UP_WITHIN)
    links = LinkSession.objects.filter(ended_at__isnull=True, account__status=Status.DISCONNECTED)
    lost = links.filter(bridge__last_heard_at__gte=heard_after)
    bridges = list(lost.order_by("bridge_id").values_list("bridge_id", flat=True).distinct())
    for bridge_id in bridges:
        enqueue("recover_bridge", bridge_id)
    return len(bridges)


def next_try(account: Account) -> datetime | None:
    """When a lost link is tried next; if that has passed, it waits for its turn. None: it is not tried."""
    session = account.current_session
    if session is None or account.status != Status.DISCONNECTED:
        return None
    if in_turn.is_known(session.bridge_id):
        return None  # it is only asked about; a poll that hears all processes opens it (dropped.py)
    return next((lost.due_at for lost in _lost(session.bridge_id, only=session.pk)), None)


def _try_those_due(bridge_id: int) -> bool:
    """Try what is due. Gives whether links still wait for a turn. A failing bridge is asked about one link only."""
    now, is_failing = timezone.now(), Bridge.objects.filter(pk=bridge_id, failing_since__isnull=False).exists()
    due = sorted((lost for lost in _lost(bridge_id) if lost.due_at <= now), key=lambda lost: lost.due_at)
    whys = [BridgeOrder.Why.RECOVERY, BridgeOrder.Why.RECONCILE]
    tried = BridgeOrder.objects.filter(opening.under_way(), bridge=bridge_id, why__in=whys, kind__in=TRIES)
    turns = max(0, (1 if is_failing else AT_ONCE) - tried.count())
    for lost in due[:turns]:
        _try(lost.session_pk)
    return len(due) > turns and not is_failing


@atomically
def _try(session_pk: int) -> None:
    """Ask the bridge about it. If a twin has just done so, or another question is open, leave it to the sweep."""
    _account, session = lock_session(session_pk)
    again = [lost for lost in _lost(session.bridge_id, only=session_pk) if lost.due_at <= timezone.now()]
    asked = session.orders.filter(kind=outbox.Kind.CHECK)
    if not again or asked.filter(state__in=[outbox.State.PENDING, outbox.State.CLAIMED]).exists():
        return
    tried = asked.filter(why=BridgeOrder.Why.RECOVERY, closed_at__isnull=False)
    tried.delete()  # only the latest question is kept; the orders that it led to stay
    outbox.ask(session, BridgeOrder.Why.RECOVERY)
    for lost in _lost(session.bridge_id, only=session_pk):
        wait = (lost.due_at - timezone.now()).total_seconds() + 1
        enqueue("recover_bridge", session.bridge_id, delay=max(wait, TURN))


def _lost(bridge_id: int, *, only: int | None = None) -> list[Lost]:
    """The links that this bridge has lost and may get back, with the time of their next try.

    Empty while the bridge is silent; nor does a question without an answer count as a try: neither is the link's fault.
    Also empty while we only observe (LINKDESK_RECONCILE): after a restored backup the record may be a day behind.
    """
    bridge = Bridge.objects.get(pk=bridge_id)
    if not presence.is_up(bridge) or reconcile.is_observing():
        return []
    unanswered = Q(kind=outbox.Kind.CHECK, state__in=[outbox.State.FAILED, outbox.State.CANCELLED])
    tried = BridgeOrder.objects.filter(~unanswered, session=OuterRef("pk"), why=BridgeOrder.Why.RECOVERY)
    links = ownership.resumable(bridge_id).filter(
        account__status=Status.DISCONNECTED, account__current_session=F("pk"), **({"pk": only} if only else {})
    )
    links = links.annotate(
        lost_at=F("account__status_changed_at"), tried_at=Subquery(tried.order_by("-pk").values("created_at")[:1])
    )
    return [_lost_one(link, bridge) for link in links[:LOOKED_AT] if failures.of(link.lost_reason).retry]


def _lost_one(link: Any, bridge: Bridge) -> Lost:
    since = max(link.lost_at, bridge.heard_since or link.lost_at)
    return Lost(link.pk, _due_at(link.pk, since=since, tried_at=link.tried_at, scanned_at=link.authenticated_at))


def _due_at(
    session_pk: int, *, since: datetime, tried_at: datetime | None, scanned_at: datetime | None = None
) -> datetime:
    if tried_at is None or tried_at < since:
        return since + timedelta(seconds=RECOVER_AFTER)
    passed = (tried_at - since).total_seconds()
    # Spread by 10 % either way, always the same for one session: links lost together are not all tried together.
    seldom = PAUSE * (0.9 + 0.2 * (session_pk * 37 % 101) / 100)
    due_at = tried_at + timedelta(seconds=max(passed, RECOVER_AFTER) if passed < QUICK else seldom)
    # A try in the quiet time opens only what the bridge runs no more; so the next one comes when that time ends.
    ends_at = scanned_at + timedelta(seconds=QUIET_AFTER) if scanned_at else due_at
    return ends_at if tried_at < ends_at < due_at else due_at
