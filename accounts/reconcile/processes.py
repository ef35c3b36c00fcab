"""Tells which process of a bridge answers: the same as before, one that replaced it, or one of several.

Of several processes behind one address each knows only its own sessions. Then an absence from the list of one proves
nothing, and a session that is started "again" would have two clients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, Max, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.bridges import in_turn, incidents
from accounts.bridges.incidents import Kind
from accounts.db.transactions import atomically
from accounts.models import Bridge, BridgeOrder, BridgeProcess, ReconcileRun
from accounts.reconcile.diff import Differences
from accounts.reconcile.said import Said

Sign = ReconcileRun.Sign

CLOCKS = 10  # seconds by which an uptime may be off: the time an answer takes, and a clock that is set
KNOWN_FOR = timedelta(hours=1)  # a replaced process that is back after this counts as a new one
SAYS = {
    Sign.CAME_BACK: "Sessions came back that nobody had started.",
    Sign.SEVERAL: "Different processes answer.",
    Sign.DIFFERS: "Two answers of one moment differ.",
}
BY_CHANCE = frozenset({Sign.CAME_BACK, Sign.DIFFERS})  # one process gives these, too
NO_PROOF = "An absence proves nothing at the moment."
OPENED_LATELY = 120  # seconds in which an order to open explains that a session is back
HEARD_LATELY = 40  # seconds; an event since the last list but this explains that a session is back: the bridge did it
SIGN_KEPT = timedelta(minutes=10)  # a second sign within this time makes an incident
CALM_AFTER = timedelta(minutes=15)  # without another sign; two processes that answer in turn show one sooner


@dataclass(frozen=True)
class Process:
    """`several`: it is neither the one that answered before nor a new one. `replaces`: the `boot` that it replaces.

    `note` tells people of it.
    """

    is_new: bool = False
    several: bool = False
    replaces: str = ""
    note: str = ""


@dataclass(frozen=True)
class Doubt:
    """`note`: why an absence proves nothing; empty: it counts. `sign`: what this list itself has shown. `heard_all`:
    it is known as several processes, and this is the list of all."""

    sign: str = ""
    note: str = ""
    heard_all: bool = False


SAME = Process()


def seen(bridge_id: int, boot: str, *, replaces: str = "") -> None:
    """Note that process `boot` speaks, and which one it replaced. The caller's transaction has locked the bridge.

    A twin notes the same a moment later.
    """
    now = timezone.now()
    known = BridgeProcess.objects.filter(bridge=bridge_id)
    if not known.filter(boot=boot).update(last_seen_at=now):
        BridgeProcess.objects.get_or_create(bridge_id=bridge_id, boot=boot)
    if replaces:
        BridgeProcess.objects.get_or_create(bridge_id=bridge_id, boot=replaces)
        # Later replacements need later times, even if the clock was set back.
        at = max(filter(None, [now, known.aggregate(last=Max("took_over_at"))["last"]]))
        first = Coalesce("first_replaced_at", Value(at))
        known.filter(boot=replaces).update(first_replaced_at=first, replaced_at=at)
        known.filter(boot=boot).update(took_over_at=at)


@atomically
def tells_of(session_pk: int, *, bridge_id: int, boot: str) -> None:
    """Note that process `boot` spoke of a session. Only the first time counts; twins may both note it."""
    process, _is_new = BridgeProcess.objects.get_or_create(bridge_id=bridge_id, boot=boot)
    process.told_of.add(session_pk)


def told_before(session_pk: int, *, bridge_id: int, boot: str, other: str) -> bool:
    """Whether process `boot` of the bridge first spoke of the session before its process `other` did."""
    first_words = BridgeProcess.told_of.through.objects.filter(linksession=session_pk, bridgeprocess__bridge=bridge_id)
    began = first_words.filter(bridgeprocess__boot=other).values("pk")
    return first_words.filter(bridgeprocess__boot=boot, pk__lt=Subquery(began)).exists()


def was_replaced(bridge_id: int, boot: str, *, by: str) -> bool:
    """Whether process `by` took over when `boot` was replaced, or later."""
    known = BridgeProcess.objects.filter(bridge=bridge_id)
    gone = known.filter(boot=boot).values("first_replaced_at")
    return known.filter(boot=by, took_over_at__gte=Subquery(gone)).exists()


def identify(bridge: Bridge, *, boot: str, booted_at: datetime | None) -> Process:
    """Which process answers, by the id that the bridge gives it (`boot`), else by when it was started."""
    if boot and bridge.boot:
        return _process_by_boot(bridge, boot)
    if booted_at is None or bridge.booted_at is None:
        return SAME
    later = (booted_at - bridge.booted_at).total_seconds()
    if abs(later) <= CLOCKS:
        return SAME
    looked_at = bridge.last_polled_at or bridge.booted_at
    # It is older, or ran already when another one answered: a restart explains neither.
    if later < 0 or booted_at < looked_at - timedelta(seconds=CLOCKS):
        return Process(several=True)
    return Process(is_new=True, note=f"Started anew at {booted_at:%F %T} UTC.")


def _process_by_boot(bridge: Bridge, boot: str) -> Process:
    """A replaced process never speaks again, except in a late heartbeat; if it does, both of them are alive."""
    if boot == bridge.boot:
        return SAME
    lately = timezone.now() - KNOWN_FOR
    known = BridgeProcess.objects.filter(bridge=bridge, boot=boot)
    if known.filter(replaced_at__gt=lately).exists():
        return Process(several=True)
    if known.filter(took_over_at__gt=lately).exists():
        return SAME  # another one had answered in between
    note = f"Started anew: process {bridge.boot} was replaced by {boot}."
    return Process(is_new=True, replaces=bridge.boot, note=note)


def are_in_doubt() -> Q:
    """A filter for bridges that are known as several processes, or have shown a sign of them lately."""
    shown = ReconcileRun.objects.filter(bridge=OuterRef("pk"), at__gt=timezone.now() - SIGN_KEPT).exclude(sign="")
    return Q(in_turn.are_known()) | Q(Exists(shown))


def look(
    bridge: Bridge,
    found: Differences,
    runs: Sequence[ReconcileRun],
    *,
    said: Said,
    is_open: Mapping[str, datetime],
) -> Doubt:
    """Find out whether an absence proves anything at the moment. `runs` are those of the last minutes, newest first.

    One sign may be chance: the desk's clock was set, or the last words of a killed process came late. It holds
    recovery back until the next look. Two that one process cannot give make an incident, if within some minutes.
    """
    sign, is_one = said.sign, said.heard_all and said.sign is None
    if sign != Sign.SEVERAL and not is_one and _flips(bridge, found):
        sign = Sign.CAME_BACK
    is_known = _are_known(bridge, sign, runs, is_open=is_open)
    if is_known and said.heard_all:
        return Doubt(sign or "", heard_all=True)
    return Doubt(sign or "", _why_no_proof(sign, runs, is_known=is_known))


def _why_no_proof(sign: Sign | None, runs: Sequence[ReconcileRun], *, is_known: bool) -> str:
    if sign in BY_CHANCE and not is_known and runs and runs[0].sign in BY_CHANCE:
        return ""  # it has held recovery back for one look
    if sign:
        return SAYS[sign]
    return NO_PROOF if is_known else ""


def _are_known(
    bridge: Bridge, sign: Sign | None, runs: Sequence[ReconcileRun], *, is_open: Mapping[str, datetime]
) -> bool:
    """Whether the bridge is known as several processes, by this sign and the earlier ones."""
    seen_at = is_open.get(Kind.ALTERNATING)
    if sign == Sign.SEVERAL and (seen_at or any(run.sign == sign for run in runs)):
        incidents.report(bridge.pk, Kind.ALTERNATING, summary=SAYS[sign])
        return True
    if seen_at is not None and timezone.now() - seen_at > CALM_AFTER:
        incidents.close(bridge.pk, Kind.ALTERNATING)
        return False
    return seen_at is not None


def _flips(bridge: Bridge, found: Differences) -> bool:
    """Whether a session is back that this process had named before and was not told to open.

    A bridge that opens one by itself tells of the scan some seconds before it lists the session as connected.
    """
    since = bridge.booted_at
    known = [row for row in found.back_up if row.last_seen_at and (since is None or row.last_seen_at > since)]
    back = [row.pk for row in known if row.is_unseen(HEARD_LATELY)]
    if not back:
        return False
    lately = timezone.now() - timedelta(seconds=OPENED_LATELY)
    told = BridgeOrder.objects.filter(session__in=back, created_at__gt=lately)
    opened = told.filter(kind__in=BridgeOrder.OPENING)
    return not set(back) <= set(opened.values_list("session_id", flat=True))
