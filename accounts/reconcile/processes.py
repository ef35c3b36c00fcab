"""Which process of a bridge answers: the one that did before, one that replaced it, or one of several.

Several processes behind one address know only their own sessions each. An absence proves nothing then, and what is
started "again" would be a second client: nothing is restored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from accounts.bridges import incidents
from accounts.bridges.incidents import Kind
from accounts.models import Bridge, BridgeOrder, ReconcileRun
from accounts.reconcile.diff import Differences

CLOCKS = 10  # seconds by which an uptime may be off: the time an answer takes, and a clock that is set
KNOWN_FOR = timedelta(hours=1)  # then a process that was replaced counts as a new one
CAME_BACK = "Sessions came back that nobody had started."
SEVERAL = "Different processes answer."
NO_PROOF = "An absence proves nothing at the moment."
OPENED_LATELY = 120  # seconds; who was told to open explains itself
CALM_AFTER = timedelta(minutes=15)  # without another sign; of two that answer in turn none stays hidden so long


@dataclass(frozen=True)
class Process:
    """`several`: neither the one that answered before nor a new one. `note`: what is to be remembered of it."""

    is_new: bool = False
    several: bool = False
    note: str = ""


SAME = Process()


def was_replaced(bridge_id: int, boot: str, *, by: str) -> bool:
    """Whether the bridge has told of process `by` after it had told that `boot` was replaced."""
    known = ReconcileRun.objects.filter(bridge=bridge_id)
    gone = known.filter(note__contains=f"process {boot} was replaced by ").order_by("pk").first()
    return gone is not None and known.filter(pk__gte=gone.pk, note__contains=f"was replaced by {by}.").exists()


def identify(bridge: Bridge, *, boot: str, booted_at: datetime | None) -> Process:
    """Which process says so: by the id that the bridge gives it (`boot`), else by its start."""
    if boot and bridge.boot:
        return _process_by_boot(bridge, boot)
    if booted_at is None or bridge.booted_at is None:
        return SAME
    later = (booted_at - bridge.booted_at).total_seconds()
    if abs(later) <= CLOCKS:
        return SAME
    looked_at = bridge.last_polled_at or bridge.booted_at
    # An older one, or one that ran already when another answered: no start explains that.
    if later < 0 or booted_at < looked_at - timedelta(seconds=CLOCKS):
        return Process(several=True)
    return Process(is_new=True, note=f"Started anew at {booted_at:%F %T} UTC.")


def _process_by_boot(bridge: Bridge, boot: str) -> Process:
    """A process that was replaced never comes back, unless in a heartbeat that comes late; if it does, both live."""
    if boot == bridge.boot:
        return SAME
    known = ReconcileRun.objects.filter(bridge=bridge, at__gt=timezone.now() - KNOWN_FOR)
    if known.filter(note__contains=f"process {boot} was replaced").exists():
        return Process(several=True)
    if known.filter(note__contains=f"was replaced by {boot}.").exists():
        return SAME  # which another one had interrupted
    return Process(is_new=True, note=f"Started anew: process {bridge.boot} was replaced by {boot}.")


def look(
    bridge: Bridge,
    found: Differences,
    runs: Sequence[ReconcileRun],
    *,
    several: bool,
    is_open: Mapping[str, datetime],
) -> str:
    """Why an absence proves nothing at the moment; empty: it counts. `runs` are those of the last minutes.

    One sign may be chance: the desk's clock was set, or the last words of a killed process came late.
    """
    sign = SEVERAL if several else _sign_of_another(bridge, found)
    signs = _signs_in(runs)
    if sign and (signs or Kind.ALTERNATING in is_open):
        incidents.report(bridge.pk, Kind.ALTERNATING, summary=sign)
    elif Kind.ALTERNATING in is_open:
        if timezone.now() - is_open[Kind.ALTERNATING] <= CALM_AFTER:
            return NO_PROOF
        incidents.close(bridge.pk, Kind.ALTERNATING)
    return sign or (NO_PROOF if CAME_BACK in signs else "")


def _signs_in(runs: Sequence[ReconcileRun]) -> list[str]:
    return [known for run in runs for known in (SEVERAL, CAME_BACK) if known in run.note]


def _sign_of_another(bridge: Bridge, found: Differences) -> str:
    """A session is back that this process had named before, without having been told to open it."""
    since = bridge.booted_at
    back = [row.pk for row in found.back if row.last_seen_at and (since is None or row.last_seen_at > since)]
    if not back:
        return ""
    lately = timezone.now() - timedelta(seconds=OPENED_LATELY)
    told = BridgeOrder.objects.filter(session__in=back, created_at__gt=lately)
    opened = told.filter(kind__in=BridgeOrder.OPENING)
    return "" if set(back) <= set(opened.values_list("session_id", flat=True)) else CAME_BACK
