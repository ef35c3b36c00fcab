"""Answers that alternate: several processes behind one address, each of which knows only its own sessions.

An absence proves nothing then, and what is started "again" would be a second client: nothing is restored.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from accounts import incidents
from accounts.differences import Differences
from accounts.incidents import Kind
from accounts.models import Bridge, BridgeOrder, ReconcileRun

CAME_BACK = "Sessions came back that nobody had started."
SEVERAL = "Different processes answer."
NO_PROOF = "An absence proves nothing at the moment."
OPENED_LATELY = 120  # seconds; who was told to open explains itself
CALM_AFTER = timedelta(minutes=15)  # without another sign; of two that answer in turn none stays hidden so long


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
    sign = SEVERAL if several else CAME_BACK if _flips(bridge, found) else ""
    signs = [known for run in runs for known in (SEVERAL, CAME_BACK) if known in run.note]
    if sign and (signs or Kind.ALTERNATING in is_open):
        incidents.report(bridge.pk, Kind.ALTERNATING, summary=sign)
    elif Kind.ALTERNATING in is_open:
        if timezone.now() - is_open[Kind.ALTERNATING] <= CALM_AFTER:
            return NO_PROOF
        incidents.close(bridge.pk, Kind.ALTERNATING)
    return sign or (NO_PROOF if CAME_BACK in signs else "")


def _flips(bridge: Bridge, found: Differences) -> bool:
    """Whether a session is back that this process had named before, without having been told to open it."""
    since = bridge.booted_at
    back = [row.pk for row in found.back if row.last_seen_at and (since is None or row.last_seen_at > since)]
    if not back:
        return False
    lately = timezone.now() - timedelta(seconds=OPENED_LATELY)
    told = BridgeOrder.objects.filter(session__in=back, created_at__gt=lately)
    opened = told.filter(kind__in=BridgeOrder.OPENING)
    return not set(back) <= set(opened.values_list("session_id", flat=True))
