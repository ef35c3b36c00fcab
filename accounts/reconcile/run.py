"""Compares each list of a bridge with the record and puts right what differs, never on a guess (rule "No guess").

A list comes by heartbeat or poll. Who else could be there: events that overtake the list, recovery, staff, the list of
a second process. Accounts whose status changed lately are left for the next list, and each change is made under the
account's lock, after another look.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from accounts.bridges import incidents, ownership
from accounts.db.transactions import atomically
from accounts.jobs import leases
from accounts.jobs.queue import enqueue
from accounts.jobs.row_by_row import safely
from accounts.lifecycle import Status
from accounts.models import Bridge, BridgeOrder, LinkSession, ReconcileRun
from accounts.pairing.bridge_events import Outcome
from accounts.reconcile import dropped, lost_logins, opening, processes, session_list, unknown, unwanted
from accounts.reconcile.diff import Differences, Row, ago, compare, is_fresh, was_left_behind
from accounts.reconcile.processes import Doubt
from accounts.reconcile.said import Said
from accounts.reconcile.unwanted import Stops

WITHIN = 60  # seconds; a run that takes longer is dead
RESTORES_AT_ONCE = 2  # of one bridge: each may open a browser there
OPENED_AT_ONCE = 4  # of one that is several processes: each takes its share, and recovery takes none
MOVES_AT_ONCE = 50  # accounts in a run, which a heartbeat waits for; the rest in a run of their own just after it
AGAIN = 7  # seconds until then
RESTORING = 60  # seconds after its start in which a bridge restores by itself; longer while sessions keep coming back
SEEN_EVERY = 20  # seconds between two writes of a session's last_seen_at by lists, which come every 30 s

LISTED_AS_DOWN = "The bridge lists it as not connected."
ABSENT = "The bridge named it in none of its last three lists."
NOWHERE = "None of its bridge's processes runs it."
NOT_RESTORED = "The bridge was started anew and has not restored it."


@dataclass(frozen=True)
class BridgeInstructions:
    """What was ordered, as the answer to a heartbeat: the bridge may act on it before the orders come."""

    stop: list[str] = field(default_factory=list)
    restore: list[LinkSession] = field(default_factory=list)


@dataclass
class RunResult:
    """What this run did, or would have done."""

    restored: list[int] = field(default_factory=list)
    stops: Stops = field(default_factory=Stops)
    tried: int = 0
    moved: int = 0
    notes: list[str] = field(default_factory=list)
    sign: str = ""
    has_more: bool = False


def run(bridge: Bridge, said: Said, *, heartbeat: bool = False, note: str = "") -> BridgeInstructions:
    """Compare `bridge`, as its row is now, with the complete list that it said, and act on it. `note` stands in the
    summary."""
    name = f"reconcile of bridge {bridge.pk}"
    holder = leases.take(name, seconds=WITHIN)
    if holder is None:  # the next list is as good
        if note:
            ReconcileRun.objects.create(bridge=bridge, running=len(said.listed), note=note)
        return BridgeInstructions()
    words = "broken off"
    try:
        done = _reconcile(bridge, said, heartbeat=heartbeat, note=note)
        words = f"restored {len(done.restored)}, stopped {len(done.stops.ordered)}, moved {done.moved}"
    finally:
        leases.release(name, holder, result=words)
    if is_observing():
        return BridgeInstructions()
    restored = LinkSession.objects.filter(pk__in=done.restored).select_related("account") if done.restored else []
    return BridgeInstructions(stop=done.stops.waiting + done.stops.ordered, restore=list(restored))


def is_observing() -> bool:
    return settings.LINKDESK_RECONCILE == "observe"


def _reconcile(bridge: Bridge, said: Said, *, heartbeat: bool, note: str) -> RunResult:
    found = compare(bridge, said.listed, asked_at=said.asked_at)
    since = timezone.now() - processes.SIGN_KEPT
    runs = list(ReconcileRun.objects.filter(bridge=bridge, at__gt=since).order_by("-at"))
    is_open = incidents.open_of(bridge.pk)
    doubt = processes.look(bridge, found, runs, said=said, is_open=is_open)
    done = RunResult(notes=[told for told in (note, doubt.note) if told], sign=doubt.sign)
    lost_logins.look(bridge, said.listed, is_open=is_open)
    _remember(bridge, found)
    unknown.record(bridge.pk, found.unknown, listed=said.listed, heartbeat=heartbeat)
    _take_back(found, done)
    _move(found, done)
    done.stops = unwanted.stop(bridge, found, listed=said.listed, is_open=is_open, observing=is_observing())
    done.notes += done.stops.notes
    if not doubt.note and not _is_restoring(bridge, found, doubt):
        _restore(bridge, found, done, doubt=doubt)
    _sum_up(bridge, found, done, running=len(said.listed), runs=runs)
    if (done.has_more or done.stops.has_more) and not is_observing():
        poll_soon(bridge)
    return done


def poll_soon(bridge: Bridge) -> None:
    """Poll it again soon. Only one such poll waits at a time, or each list meanwhile would begin a chain of polls."""
    name = f"next poll of bridge {bridge.pk}"
    holder = leases.take(name, seconds=AGAIN, due=timezone.now() - timedelta(seconds=AGAIN))
    if holder is not None:
        leases.release(name, holder)
        enqueue("poll_bridge", bridge.pk, delay=AGAIN)


@atomically
def _remember(bridge: Bridge, found: Differences) -> None:
    """Note which sessions were seen, and how often in a row the others were not.

    They count as seen when the bridge was asked; an event that came since is newer and is kept.
    """
    stale = [row.pk for row in found.seen if row.last_seen_at is None or row.last_seen_at < ago(SEEN_EVERY)]
    mine = LinkSession.objects.filter(bridge=bridge)
    mine.filter(pk__in=stale).exclude(last_seen_at__gt=found.asked_at).update(last_seen_at=found.asked_at)
    mine.filter(pk__in=[row.pk for row in found.back]).update(absent_polls=0)
    missed = mine.filter(pk__in=[row.pk for row in found.absent], absent_polls__lt=1_000)
    missed.update(absent_polls=F("absent_polls") + 1)


def _take_back(found: Differences, done: RunResult) -> None:
    """Reopen sessions that were scanned (rule "Soft ends"). Those that cannot be reopened are stopped like others."""
    for row, running in found.scanned[:MOVES_AT_ONCE]:
        outcome = Outcome.APPLIED if is_observing() else safely(session_list.found_scanned, row.pk, running)
        if outcome == Outcome.APPLIED:
            done.moved += 1
        elif outcome in {Outcome.ENDED, Outcome.NO_CHANGE} and not row.may_be_taken_back:
            found.ended.append(row)


def _move(found: Differences, done: RunResult) -> None:
    """Change statuses to what the bridge lists, whatever event was lost (rule "Ask the bridge")."""
    back = partial(session_list.found_connected, asked_at=found.asked_at, trigger="reconcile")
    lose = partial(session_list.found_lost, asked_at=found.asked_at, trigger="reconcile", reason=LISTED_AS_DOWN)
    for row, phone in found.up:
        _one(done, row, partial(back, phone=phone))
    for row in found.down:
        _one(done, row, lose)


def _one(done: RunResult, row: Row, move: Callable[[int], Outcome]) -> bool:
    """Change one account's status. Gives whether it changed, or would have."""
    if done.tried >= MOVES_AT_ONCE:
        done.has_more = done.moved > 0  # else the next list is soon enough
        return False
    done.tried += 1
    moves = is_observing() or safely(move, row.pk) == Outcome.APPLIED
    done.moved += moves
    return moves


def _is_restoring(bridge: Bridge, found: Differences, doubt: Doubt) -> bool:
    """Of several processes none is told what to restore, so what comes back there is what we have opened."""
    just_started = bridge.booted_at is not None and bridge.booted_at > ago(RESTORING)
    return is_fresh(bridge) and (just_started or (bool(found.back) and not doubt.heard_all))


def _restore(bridge: Bridge, found: Differences, done: RunResult, *, doubt: Doubt) -> None:
    """Start some lost sessions at once, with the same id and login. The others are marked lost, for recovery; or, where
    several processes answer, for the next list of all."""
    lost = dropped.due(found, heard_all=doubt.heard_all)
    turns = (OPENED_AT_ONCE if doubt.heard_all else RESTORES_AT_ONCE) - _under_way(bridge) if lost else 0
    elsewhere = _run_elsewhere(lost)  # unwanted.py tells staff
    for row in sorted(lost, key=lambda row: row.pk in elsewhere):
        told = partial(_told, asked_at=found.asked_at, reason=_why_lost(row, bridge, doubt))
        if len(done.restored) < turns and row.pk not in elsewhere:
            if _one(done, row, told(_start(row, bridge, doubt))):
                done.restored.append(row.pk)
        elif row.status == Status.CONNECTED:
            _one(done, row, told(session_list.found_lost))
    done.has_more |= doubt.heard_all and len(lost) > len(done.restored) + len(elsewhere)


def _start(row: Row, bridge: Bridge, doubt: Doubt) -> Callable[..., Outcome]:
    why, certain = BridgeOrder.Why.RECONCILE, doubt.heard_all or was_left_behind(row, bridge)
    return partial(opening.found_missing, why=why, certain=certain, heard_all=doubt.heard_all)


def _why_lost(row: Row, bridge: Bridge, doubt: Doubt) -> str:
    if doubt.heard_all:
        return NOWHERE
    return NOT_RESTORED if was_left_behind(row, bridge) else ABSENT


def _told(move: Callable[..., Outcome], *, asked_at: datetime, reason: str) -> Callable[[int], Outcome]:
    """The move, with what the history says of it."""
    return partial(move, asked_at=asked_at, trigger="reconcile", reason=reason)


def _under_way(bridge: Bridge) -> int:
    told = BridgeOrder.objects.filter(opening.under_way(), bridge=bridge, kind__in=BridgeOrder.OPENING)
    return told.exclude(why="").count()


def _run_elsewhere(lost: list[Row]) -> set[int]:
    elsewhere = LinkSession.objects.filter(ownership.runs_elsewhere(), pk__in=[row.pk for row in lost])
    return set(elsewhere.values_list("pk", flat=True)) if lost else set()


def _sum_up(bridge: Bridge, found: Differences, done: RunResult, *, running: int, runs: list[ReconcileRun]) -> None:
    """Write a summary when something was done or is new, and at least every ten minutes."""
    summary = {
        "absent": len(found.absent),
        "unknown": len(found.unknown),
        "restored": len(done.restored),
        "stopped": len(done.stops.ordered),
        "note": " ".join(done.notes)[:300],
        "sign": done.sign,
    }
    as_before = runs and all(getattr(runs[0], name) == value for name, value in summary.items())
    if as_before and (is_observing() or not done.moved):
        return
    counts = {"expected": found.expected, "running": running}
    ReconcileRun.objects.create(bridge=bridge, observing=is_observing(), **counts, **summary)
