"""What a bridge says of itself, in a heartbeat or when it is polled, and which process of it says so.

Who else could be there: heartbeats and polls of one bridge at the same moment, and events, which also count as heard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts import fleet, incidents, lines, reconcile
from accounts.bridge_client import Running
from accounts.locking import atomically
from accounts.models import Bridge, LinkSession, ReconcileRun

CLOCKS = 10  # seconds by which an uptime may be off: the time an answer takes, and a clock that is set
LEAVES_WITHIN = timedelta(minutes=5)  # whoever says so for longer stays
LEAVING = "It says that it is shutting down."
KNOWN_FOR = timedelta(hours=1)  # then a process that was replaced counts as a new one


@dataclass(frozen=True, kw_only=True)
class Said:
    """Empty or None where the bridge does not say. `asked_at`: when it was asked, or said it by itself."""

    listed: Mapping[str, Running]
    asked_at: datetime = field(default_factory=timezone.now)
    library: str = ""
    version: str = ""
    capacity: int | None = None
    capabilities: list[str] | None = None
    boot: str = ""
    booted_at: datetime | None = None
    draining: bool = False


@dataclass(frozen=True)
class Process:
    """`several`: neither the one that answered before nor a new one. `note`: what is to be remembered of it."""

    is_new: bool = False
    several: bool = False
    note: str = ""


SAME = Process()


def hear(bridge_id: int, said: Said, *, heartbeat: bool) -> reconcile.Advice:
    """Note what the bridge says, and compare its list with the record at once.

    One that is leaving is only heard: its sessions go one by one, and come back with its next process.
    """
    bridge = Bridge.objects.get(pk=bridge_id)
    process = _process(bridge, said)
    if said.draining and not bridge.says_draining:
        ReconcileRun.objects.create(bridge=bridge, running=len(said.listed), note=f"{LEAVING} {process.note}".strip())
    spoke_at = max(filter(None, [bridge.last_heartbeat_at, bridge.last_polled_at]), default=bridge.created_at)
    _note(bridge, said, process=process, heartbeat=heartbeat, was_up=fleet.is_up(bridge), spoke_at=spoke_at)
    if said.draining and _is_leaving(bridge):
        return reconcile.Advice()
    return reconcile.run(
        bridge,
        said.listed,
        asked_at=said.asked_at,
        heartbeat=heartbeat,
        several=process.several,
        note=process.note,
    )


def _is_leaving(bridge: Bridge) -> bool:
    lately = ReconcileRun.objects.filter(bridge=bridge, at__gt=timezone.now() - LEAVES_WITHIN)
    return lately.filter(note__startswith=LEAVING).exists()


@atomically
def _note(bridge: Bridge, said: Said, *, process: Process, heartbeat: bool, was_up: bool, spoke_at: datetime) -> None:
    """`was_up`, `spoke_at`: of the bridge before this; in a second try of the transaction its row would say now."""
    now = timezone.now()
    told: dict[str, Any] = {"library": said.library, "version": said.version, "boot": said.boot}
    told |= {"booted_at": said.booted_at or (now if process.is_new else None)}
    told = {name: value for name, value in told.items() if value}
    told |= {name: value for name in ("capacity", "capabilities") if (value := getattr(said, name)) is not None}
    if bridge.failing_since is None:
        told["last_error"] = ""
    Bridge.objects.filter(pk=bridge.pk).update(
        heard_since=fleet.heard_since(now),  # before last_heard_at, see there
        last_heard_at=now,
        sessions_reported=len(said.listed),
        says_draining=said.draining,
        **{"last_heartbeat_at" if heartbeat else "last_polled_at": now},
        **told,
    )
    bridge.refresh_from_db()
    if process.is_new:  # what it did not name before says nothing about the new one
        LinkSession.objects.filter(bridge=bridge, ended_at=None, absent_polls__gt=0).update(absent_polls=0)
        lines.clear(bridge.pk, before=said.booted_at or spoke_at)
    if not was_up:
        incidents.close(bridge.pk, incidents.Kind.DOWN)


def was_replaced(bridge_id: int, boot: str, *, by: str) -> bool:
    """Whether the bridge has told of process `by` after it had told that `boot` was replaced."""
    known = ReconcileRun.objects.filter(bridge=bridge_id)
    gone = known.filter(note__contains=f"process {boot} was replaced by ").order_by("pk").first()
    return gone is not None and known.filter(pk__gte=gone.pk, note__contains=f"was replaced by {by}.").exists()


def _process(bridge: Bridge, said: Said) -> Process:
    """By the id that it gives its process, else by its uptime."""
    if said.boot and bridge.boot:
        return _process_by_boot(bridge, said.boot)
    if said.booted_at is None or bridge.booted_at is None:
        return SAME
    later = (said.booted_at - bridge.booted_at).total_seconds()
    if abs(later) <= CLOCKS:
        return SAME
    looked_at = bridge.last_polled_at or bridge.booted_at
    # An older one, or one that ran already when another answered: no start explains that.
    if later < 0 or said.booted_at < looked_at - timedelta(seconds=CLOCKS):
        return Process(several=True)
    return Process(is_new=True, note=f"Started anew at {said.booted_at:%F %T} UTC.")


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
