"""The bridges: which one takes a new session, and when we last heard of each."""

import logging
import time
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.lifecycle import EndReason, Status
from accounts.models import Bridge, LinkSession, Workspace

HEARD_EVERY = 10  # seconds between two writes of last_heard_at
UP_WITHIN = 90  # seconds of silence after which a bridge is not up: three of its heartbeats

RESUMABLE = [Status.AUTHENTICATED, Status.CONNECTED, Status.DISCONNECTED]

log = logging.getLogger(__name__)

_heard: dict[int, float] = {}


class NoBridgeAvailable(Exception):
    """No bridge serves this workspace, or all that do are full or draining."""


def choose(workspace: Workspace) -> Bridge:
    """The least loaded bridge, by weight, of those that may take one more session of this workspace.

    One that did not answer our last start, and was not heard of since, comes last: every failure makes it look idle.
    """
    serving = Q(workspaces=workspace) | Q(workspaces__isnull=True)
    running = Count("sessions", filter=Q(sessions__ended_at__isnull=True), distinct=True)
    bridges = Bridge.objects.filter(serving, draining=False, weight__gt=0).annotate(
        running=running, silent=_failed_since_heard()
    )
    candidates = bridges.filter(running__lt=F("capacity"))
    chosen = min(
        candidates, key=lambda bridge: (bridge.silent, bridge.running / bridge.weight, bridge.pk), default=None
    )
    if chosen is None:
        raise NoBridgeAvailable
    return chosen


def _failed_since_heard() -> Exists:
    heard = Coalesce(OuterRef("last_heard_at"), OuterRef("created_at"))
    ended_unheard = LinkSession.objects.filter(bridge=OuterRef("pk"), ended_at__gt=heard)
    return Exists(ended_unheard.filter(end_reason=EndReason.BRIDGE_UNAVAILABLE))


def hear(bridge_id: int) -> None:
    """Note that the bridge spoke. Outside any transaction, and seldom: every event's row points at this one."""
    if time.monotonic() - _heard.get(bridge_id, -HEARD_EVERY) < HEARD_EVERY:
        return
    _heard[bridge_id] = time.monotonic()
    now = timezone.now()
    stale = Q(last_heard_at__isnull=True) | Q(last_heard_at__lt=now - timedelta(seconds=HEARD_EVERY))
    # The order counts: MariaDB assigns from left to right, and the first must see the old last_heard_at.
    try:
        Bridge.objects.filter(stale, pk=bridge_id).update(heard_since=heard_since(now), last_heard_at=now)
    except DatabaseError:  # a note, not worth an event
        log.warning("bridge %s: could not note that it was heard", bridge_id)


def heard_since(now: datetime) -> Case:
    """For an update that also sets last_heard_at, and names this one first."""
    unbroken = When(
        last_heard_at__gte=now - timedelta(seconds=UP_WITHIN), heard_since__isnull=False, then="heard_since"
    )
    return Case(unbroken, default=Value(now))


def sessions_of(bridge_id: int) -> QuerySet[LinkSession]:
    """What a bridge may see: the sessions it owns, in workspaces that it serves."""
    named = Bridge.workspaces.through.objects.filter(bridge_id=bridge_id)
    served = Exists(named.filter(workspace_id=OuterRef("account__workspace_id")))
    return LinkSession.objects.filter(Q(~Exists(named)) | Q(served), bridge=bridge_id)


def resumable(bridge_id: int) -> QuerySet[LinkSession]:
    """Its open sessions with a stored login. One that was never authenticated would show a QR code to nobody."""
    return sessions_of(bridge_id).filter(
        ended_at__isnull=True,
        authenticated_at__isnull=False,
        account__status__in=RESUMABLE,
        account__deleted_at__isnull=True,
    )
