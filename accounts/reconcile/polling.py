"""Asking the bridges that send no heartbeat, or may be several processes, how they are and what they run."""

import random
from datetime import timedelta
from typing import Any

from django.db.models import Case, Exists, OuterRef, Q, When
from django.utils import timezone

from accounts.bridges import presence
from accounts.bridges.client import BridgeError
from accounts.jobs import leases
from accounts.jobs.queue import enqueue
from accounts.lifecycle import Status
from accounts.models import Bridge, LinkSession
from accounts.reconcile import processes, survey
from accounts.reconcile.heartbeat import hear
from accounts.reconcile.said import Said

POLLS = (0, 30)  # seconds after the job, which runs each minute
# Seconds after a bridge was made or changed: whoever did so may still have to start it, or to give it its key.
FIRST_POLLS = (0, 5, 15, 30)
SPREAD = 15  # seconds over which those of all bridges are spread
WITHIN = 45  # seconds; the queue ends a task then
MOST = 5_000  # sessions of one bridge, as in a heartbeat; SQLite takes 32,766 values in one statement


def poll_all() -> int:
    """Ask each bridge in a task of its own, so that one that hangs delays no other. Gives how many are asked."""
    lately = timezone.now() - timedelta(seconds=presence.UP_WITHIN)
    is_quiet = Q(last_heartbeat_at=None) | Q(last_heartbeat_at__lt=lately)
    asked = list(Bridge.objects.filter(is_quiet | processes.are_in_doubt()).values_list("pk", flat=True))
    for bridge_id in asked:
        for after in POLLS:
            enqueue("poll_bridge", bridge_id, delay=after + random.uniform(0, SPREAD))
    return len(asked)


def poll_new(bridge_id: int) -> None:
    """Ask a bridge that was just made or changed, without waiting for the job: it takes nothing before it is heard."""
    for after in FIRST_POLLS:
        enqueue("poll_bridge", bridge_id, delay=after)


def poll(bridge_id: int) -> None:
    """Ask one bridge. If another task is asking it already, do nothing."""
    name = f"poll of bridge {bridge_id}"
    holder = leases.take(name, seconds=WITHIN)
    if holder is None:
        return
    result = "broken off"
    try:
        result = _poll(bridge_id)
    finally:
        leases.release(name, holder, result=result)


def _poll(bridge_id: int) -> str:
    bridge = Bridge.objects.filter(pk=bridge_id).annotate(is_doubtful=_is_doubtful()).first()
    if bridge is None:
        return "gone"
    try:
        said = _ask(bridge, is_doubtful=bridge.is_doubtful)
    except BridgeError as error:
        Bridge.objects.filter(pk=bridge_id).update(last_error=str(error)[:200])
        return str(error)
    hear(bridge_id, said, heartbeat=False)
    return f"runs {len(said.listed)}"


def _is_doubtful() -> Case:
    """An annotation: whether it may be several processes. A link that its last list lacked may soon be taken for lost,
    so before that each process has its turn. One that is lost already is looked for by its order."""
    missed = LinkSession.objects.filter(
        bridge=OuterRef("pk"), ended_at=None, absent_polls__gt=0, account__status=Status.CONNECTED
    )
    return Case(When(processes.are_in_doubt() | Q(Exists(missed)), then=True), default=False)


def _ask(bridge: Bridge, *, is_doubtful: bool = False) -> Said:
    """Ask for its health and its list. Raises BridgeError."""
    asked_at = timezone.now()
    answer = survey.take(bridge, is_doubtful=is_doubtful)
    if len(answer.listed) > MOST:  # refused, not cut: what is cut would seem absent
        raise BridgeError(f"it lists more than {MOST} sessions")
    health = answer.health.said
    capabilities = health.get("capabilities")
    return Said(
        listed=answer.listed,
        sign=answer.sign,
        heard_all=answer.heard_all,
        asked_at=asked_at,
        library=_text(health.get("library"), 60),
        version=_text(health.get("version"), 40),
        capacity=_number(health.get("capacity"), 100_000),
        capabilities=[_text(name, 40) for name in capabilities[:32]] if isinstance(capabilities, list) else None,
        boot=_text(health.get("boot"), 64),
        booted_at=answer.health.began,
        draining=health.get("draining") is True,
    )


def _text(value: Any, longest: int) -> str:
    return value[:longest] if isinstance(value, str) and value.isprintable() else ""


def _number(value: Any, largest: int) -> int | None:
    return value if type(value) is int and 0 <= value <= largest else None
