"""The bridges: which one takes a new session, and when we last heard of each."""

import time
from datetime import timedelta

from django.db.models import Count, F, Q
from django.utils import timezone

from accounts.models import Bridge, Workspace

HEARD_EVERY = 10  # seconds between two writes of last_heard_at

_heard: dict[int, float] = {}


class NoBridgeAvailable(Exception):
    """No bridge serves this workspace, or all that do are full or draining."""


def choose(workspace: Workspace) -> Bridge:
    """The least loaded bridge, by weight, of those that may take one more session of this workspace."""
    serving = Q(workspaces=workspace) | Q(workspaces__isnull=True)
    running = Count("sessions", filter=Q(sessions__ended_at__isnull=True), distinct=True)
    bridges = Bridge.objects.filter(serving, draining=False, weight__gt=0).annotate(running=running)
    candidates = bridges.filter(running__lt=F("capacity"))
    chosen = min(candidates, key=lambda bridge: (bridge.running / bridge.weight, bridge.pk), default=None)
    if chosen is None:
        raise NoBridgeAvailable
    return chosen


def hear(bridge_id: int) -> None:
    """Note that the bridge spoke. Outside any transaction, and seldom: every event's row points at this one."""
    if time.monotonic() - _heard.get(bridge_id, -HEARD_EVERY) < HEARD_EVERY:
        return
    _heard[bridge_id] = time.monotonic()
    now = timezone.now()
    stale = Q(last_heard_at__isnull=True) | Q(last_heard_at__lt=now - timedelta(seconds=HEARD_EVERY))
    Bridge.objects.filter(stale, pk=bridge_id).update(last_heard_at=now)
