"""Stops sessions that a bridge should not run: those that have ended here, and those that another bridge owns.
Nothing else is stopped: an unknown session may be somebody's link (rule "No guess").

Who else could be there: an earlier stop of the same session, a scan that takes an end back, a move to this bridge.
"""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Max, Q
from django.utils import timezone

from accounts.bridges import incidents
from accounts.bridges.client import Running
from accounts.bridges.incidents import Kind
from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.jobs.row_by_row import safely
from accounts.lifecycle import UNLINKING_ENDS, EndCause, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.orders import outbox
from accounts.pairing.bridge_events import lock_session
from accounts.reconcile import findings
from accounts.reconcile.diff import Differences, Row, ago

AT_ONCE = 20  # sessions in a run, which a heartbeat waits for; each costs 15 queries
# Rule "No guess": when more than both would be stopped at once, the record is more likely wrong than the bridge.
STOPS_AT_ONCE = 3
STOPS_SHARE = 0.05
OWNER_LISTS_IT = 90  # seconds since its owner named it: three lists
RIVALS_EVERY = 20  # seconds between two writes of a session's rival_seen_at, as of its last_seen_at
CALM_AFTER = 3_600  # seconds without another sign that it runs sessions of other bridges

TOO_MANY = "these are too many at once."
OBSERVED = "this desk only observes."
NOT_LISTED = "its owner does not list it."
NOT_CONNECTED = "its owner has not connected it, and it is connected there."
MOVE_IT = "If the login is there, move the account there."
GUESSED = "it ended here for a QR code alone, and is connected there. Once it is linked anew, stop it there."
ENDED = "The bridge runs it although it has ended here: it is stopped there."


@dataclass
class Stops:
    """Session ids. `ordered`: by this run, or would have been; `waiting`: ordered earlier, and still running."""

    ordered: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    has_more: bool = False


@dataclass(frozen=True)
class Case:
    """A bridge, its list (`listed`) and how that differs from the record, with its open incidents."""

    bridge: Bridge
    found: Differences
    listed: Mapping[str, Running]
    is_open: Mapping[str, datetime]
    observing: bool

    @property
    def at_most(self) -> float:
        """How many may be stopped by one run."""
        return max(STOPS_AT_ONCE, STOPS_SHARE * len(self.listed))


def stop(
    bridge: Bridge,
    found: Differences,
    *,
    listed: Mapping[str, Running],
    is_open: Mapping[str, datetime],
    observing: bool,
) -> Stops:
    """Stop what the bridge should not run. `listed`: all that it runs. `is_open`: its open incidents."""
    case, stops = Case(bridge, found, listed, is_open, observing), Stops()
    if found.rivalled:
        _note_rival(bridge, found)
    under_way = _under_way(bridge, [*found.ended, *found.foreign])
    stops.waiting = [order.session.session_id for order in under_way]
    if not observing:
        _hurry(under_way)
    _stop_ended(case, stops, waiting={order.session_id for order in under_way})
    _part_contested(case, stops)
    return stops


def _stop_ended(case: Case, stops: Stops, *, waiting: Collection[int]) -> None:
    ended = [row for row in _brake(case, stops) if row.pk not in waiting]
    if len(ended) > AT_ONCE:
        # Sessions never told to stop come first: a bridge that ignores its stops must not hold up the others.
        told = _last_told(case.bridge, ended)
        ended.sort(key=lambda row: (row.pk in told, told.get(row.pk, row.started_at)))
        stops.has_more = any(row.pk not in told for row in ended[AT_ONCE:])
    for row in ended[:AT_ONCE]:
        if case.observing or safely(_stop_one, row.pk):
            stops.ordered.append(row.session_id)


def _part_contested(case: Case, stops: Stops) -> None:
    contested = _contested(case, stops)
    why_not = OBSERVED if case.observing else TOO_MANY if len(contested) > case.at_most else ""
    # At random: sessions that are never stopped must not hold up the others.
    for row in random.sample(contested, min(len(contested), AT_ONCE)):
        if safely(_part, row.pk, case.bridge, said=case.listed[row.session_id], why_not=why_not):
            stops.ordered.append(row.session_id)


@atomically
def _note_rival(bridge: Bridge, found: Differences) -> None:
    """Note that it runs sessions of other bridges: their owners do not open them meanwhile (ownership.runs_elsewhere).

    This includes sessions that it was told to stop, until it has. A session that is down or has no login there does
    not count, nor does one that was moved to this bridge since the list.
    """
    running = LinkSession.objects.filter(pk__in=[row.pk for row in found.rivalled], ended_at__isnull=True)
    newer = min(ago(RIVALS_EVERY), found.asked_at)
    running.exclude(bridge=bridge).exclude(rival_seen_at__gt=newer).update(rival_seen_at=found.asked_at)


def _last_told(bridge: Bridge, rows: list[Row]) -> dict[int, datetime]:
    stops = BridgeOrder.objects.filter(bridge=bridge, kind=BridgeOrder.Kind.STOP, session__in=[row.pk for row in rows])
    return dict(stops.order_by().values_list("session").annotate(Max("created_at")))


def _under_way(bridge: Bridge, rows: list[Row]) -> list[BridgeOrder]:
    """The stops that this bridge has not carried out yet, of sessions that still must not run there."""
    if not rows:
        return []
    unwanted = Q(session__ended_at__isnull=False) | ~Q(session__bridge=bridge.pk)
    stops = BridgeOrder.objects.filter(unwanted, bridge=bridge, kind=BridgeOrder.Kind.STOP)
    told = stops.filter(state__in=BridgeOrder.UNDER_WAY, session__in=[row.pk for row in rows])
    return list(told.select_related("session").order_by("pk"))


def _hurry(under_way: list[BridgeOrder]) -> None:
    """Send waiting stops now, as the bridge is up and runs the sessions: after refusals they wait up to ten minutes."""
    now = timezone.now()
    late = [order for order in under_way if order.state == BridgeOrder.State.PENDING and order.due_at > now]
    for order in late[:AT_ONCE]:
        BridgeOrder.objects.filter(pk=order.pk, state=BridgeOrder.State.PENDING).update(due_at=now)
        enqueue("deliver_order", order.pk)


def _brake(case: Case, stops: Stops) -> list[Row]:
    """The ended sessions that may be stopped. Those that were told to stop lately do not count towards the limit."""
    bridge, ended = case.bridge, case.found.ended
    told = outbox.being_stopped(bridge.pk, [row.pk for row in ended])
    count = len(ended) - len(told)
    if count > case.at_most:
        summary = f"It runs {count} sessions that have ended here: too many to stop, none was."
        incidents.report(bridge.pk, Kind.BRAKE, summary=summary)
        stops.notes.append(summary)
        return [row for row in ended if row.pk in told]
    if Kind.BRAKE in case.is_open:
        incidents.close(bridge.pk, Kind.BRAKE)
    return ended


@atomically
def _stop_one(session_pk: int) -> bool:
    account, session = lock_session(session_pk)
    if session.is_open:
        return False  # reopened: a scan was under way (rule "Soft ends")
    if not outbox.stop_resurrected(session):
        return False
    findings.note_once_a_day(account, session, trigger="reconcile", reason=ENDED)
    return True


def _contested(case: Case, stops: Stops) -> list[Row]:
    """The listed sessions that another bridge owns and that this one was not told to stop lately."""
    bridge, found, is_open = case.bridge, case.found, case.is_open
    told = outbox.being_stopped(bridge.pk, [row.pk for row in found.foreign])
    contested = [row for row in found.foreign if row.pk not in told]
    if contested:
        summary = f"It runs {len(contested)} sessions of other bridges, such as {contested[0].session_id}."
        incidents.report(bridge.pk, Kind.CONTESTED, summary=summary)
        stops.notes.append(summary)
    elif not found.foreign and Kind.CONTESTED in is_open and is_open[Kind.CONTESTED] < ago(CALM_AFTER):
        incidents.close(bridge.pk, Kind.CONTESTED)
    return contested


@atomically
def _part(session_pk: int, bridge: Bridge, *, said: Running, why_not: str) -> bool:
    """Two bridges run one session: its owner keeps it. While the owner does not list it, nobody is stopped."""
    account, session = lock_session(session_pk)
    if session.bridge_id == bridge.pk:
        return False  # moved here meanwhile
    if not bridge.serves(account.workspace_id):
        return False  # a bridge must not affect a workspace that it does not serve
    why_not = why_not or _why_not(account, session, said)
    if why_not:
        advice = f" {MOVE_IT}" if session.is_open else ""
        reason = f"Bridge {bridge} runs it, which does not own it. Nothing is stopped: {why_not}{advice}"
    elif session.is_open:
        reason = f"Bridge {bridge} runs it too: it is stopped there, its owner keeps it."
    else:
        reason = f"Bridge {bridge} runs it although it has ended here: it is stopped there."
    if not why_not:
        logout = not session.is_open and session.end_reason in UNLINKING_ENDS
        why = BridgeOrder.Why.RECONCILE
        outbox.order(session, outbox.Kind.STOP, why=why, logout=logout, bridge_id=bridge.pk)
    findings.note_once_a_day(account, session, trigger="contested", reason=reason)
    return not why_not


def _why_not(account: Account, session: LinkSession, said: Running) -> str:
    """Why it is not stopped here; empty: it is. If it ended only because its owner showed a code, and is connected
    here, then it is still linked: WhatsApp never said otherwise."""
    if session.is_open:
        if said.is_connected and account.status == Status.DISCONNECTED:
            return NOT_CONNECTED
        return "" if _its_owner_lists(session) else NOT_LISTED
    return GUESSED if session.end_cause == EndCause.SHOWED_CODE and said.is_connected else ""


def _its_owner_lists(session: LinkSession) -> bool:
    seen = session.last_seen_at
    return seen is not None and seen > ago(OWNER_LISTS_IT) and session.absent_polls == 0
