"""Notes what a bridge says of itself, in a heartbeat or when polled, and compares its list with the record.

Who else could be there: heartbeats and polls of one bridge at the same moment, and events, which also count as heard.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from accounts.bridges import incidents, presence
from accounts.db.transactions import atomically
from accounts.models import Bridge, BridgeProcess, LinkSession, ReconcileRun
from accounts.orders import turns
from accounts.reconcile import processes, run
from accounts.reconcile.processes import Process
from accounts.reconcile.said import Said

LEAVES_WITHIN = timedelta(minutes=5)  # a bridge that says for longer that it is shutting down counts as staying
LEAVING = "It says that it is shutting down."


@atomically
def is_next(bridge_id: int, *, boot: str, sequence: int) -> bool:
    """Note the number that a process gives its heartbeat. False: it was here before, or a later one was."""
    process, _is_new = BridgeProcess.objects.get_or_create(bridge_id=bridge_id, boot=boot)
    earlier = Q(heartbeat_sequence=None) | Q(heartbeat_sequence__lt=sequence)
    return bool(BridgeProcess.objects.filter(earlier, pk=process.pk).update(heartbeat_sequence=sequence))


def has_numbers(bridge_id: int, *, boot: str) -> bool:
    """Whether this process has numbered a heartbeat."""
    return BridgeProcess.objects.filter(bridge=bridge_id, boot=boot, heartbeat_sequence__isnull=False).exists()


def hear(bridge_id: int, said: Said, *, heartbeat: bool) -> run.BridgeInstructions:
    """Note what the bridge says, and compare its list with the record at once.

    The list of a bridge that is shutting down is not compared: its sessions come back with its next process.
    """
    bridge = Bridge.objects.get(pk=bridge_id)
    process = processes.identify(bridge, boot=said.boot, booted_at=said.booted_at)
    if said.draining and not bridge.says_draining:
        ReconcileRun.objects.create(bridge=bridge, running=len(said.listed), note=f"{LEAVING} {process.note}".strip())
    spoke_at = max(filter(None, [bridge.last_heartbeat_at, bridge.last_polled_at]), default=bridge.created_at)
    _note(bridge, said, process=process, heartbeat=heartbeat, was_up=presence.is_up(bridge), spoke_at=spoke_at)
    if _is_leaving(bridge):
        return run.BridgeInstructions()
    if process.several:
        said = replace(said, sign=ReconcileRun.Sign.SEVERAL)
    return run.run(bridge, said, heartbeat=heartbeat, note=process.note)


def _is_leaving(bridge: Bridge) -> bool:
    since = bridge.says_draining_since
    return bridge.says_draining and since is not None and since > timezone.now() - LEAVES_WITHIN


@atomically
def _note(bridge: Bridge, said: Said, *, process: Process, heartbeat: bool, was_up: bool, spoke_at: datetime) -> None:
    """`was_up`, `spoke_at`: the bridge's state before this, read outside: a second try would see its own write."""
    now = timezone.now()
    told = said.facts
    if process.is_new:
        told.setdefault("booted_at", now)
    if bridge.failing_since is None:
        told["last_error"] = ""
    Bridge.objects.filter(pk=bridge.pk).update(
        heard_since=presence.heard_since(now),  # before last_heard_at, see there
        last_heard_at=now,
        sessions_reported=len(said.listed),
        says_draining=said.draining,
        says_draining_since=bridge.draining_since(now) if said.draining else None,
        **{"last_heartbeat_at" if heartbeat else "last_polled_at": now},
        **told,
    )
    if said.boot:
        processes.seen(bridge.pk, said.boot, replaces=process.replaces)
    bridge.refresh_from_db()
    if process.is_new:  # absences from an old process's lists say nothing about the new one
        LinkSession.objects.filter(bridge=bridge, ended_at=None, absent_polls__gt=0).update(absent_polls=0)
        turns.clear(bridge.pk, before=said.booted_at or spoke_at)
    if not was_up:
        incidents.close(bridge.pk, incidents.Kind.DOWN)
