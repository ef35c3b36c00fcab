"""Chooses the bridge for a new session, and tells why another may not have it."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from accounts.bridges import presence
from accounts.bridges.library_versions import Level, advisory
from accounts.lifecycle import PAIRING, SCANNABLE_ENDS, EndReason
from accounts.models import Bridge, BridgeOrder, LinkSession, Workspace

LEAVES_WITHIN = timedelta(minutes=2)  # after this a stop that is not carried out no longer takes a place
TRIED_AGAIN_AFTER = timedelta(minutes=10)  # other bridges come first for so long after an attempt without a code


class NoBridgeAvailable(Exception):
    """No bridge serves this workspace, or none of those that do may take a new session."""


def choose(workspace: Workspace) -> Bridge:
    """The least loaded bridge, by weight, of those that may take one more session of this workspace.

    A bridge where attempts wait in line comes after those where none does. One that does not carry out our orders
    comes last, for its failures make it look idle. Raises NoBridgeAvailable.
    """
    chosen = min(eligible(workspace), key=_preference, default=None)
    if chosen is None:
        raise NoBridgeAvailable
    return chosen


def eligible(workspace: Workspace) -> list[Bridge]:
    """The bridges that may take one more session of this workspace. One query, however many there are."""
    return [bridge for bridge in with_load(serving(workspace)) if not why_not(bridge)]


def serving(workspace: Workspace) -> QuerySet[Bridge]:
    return Bridge.objects.filter(Q(workspaces=workspace) | Q(workspaces__isnull=True))


def with_load(bridges: QuerySet[Bridge]) -> QuerySet[Bridge]:
    """Annotate how many sessions run, pair and wait in line at each bridge, and whether it gave no code."""
    mine = LinkSession.objects.filter(bridge=OuterRef("pk"), ended_at__isnull=True)
    return bridges.annotate(
        running=count_of(mine),
        pairing=count_of(
            mine.filter(admitted_at__isnull=False, number_unclear_at__isnull=True, account__status__in=PAIRING)
        )
        + count_of(leaving().filter(bridge=OuterRef("pk"))),
        waiting=count_of(mine.filter(admitted_at__isnull=True)),
        gave_no_code=gave_no_code(),
    )


def leaving() -> QuerySet[LinkSession]:
    """Sessions that ended softly and still take a place at their bridge, until they are stopped (rule "Soft ends")."""
    stops = BridgeOrder.objects.filter(session=OuterRef("pk"), bridge=OuterRef("bridge"), kind=BridgeOrder.Kind.STOP)
    lately = timezone.now() - LEAVES_WITHIN
    ended = LinkSession.objects.filter(end_reason__in=SCANNABLE_ENDS, ended_at__gt=lately)
    return ended.filter(Exists(stops.filter(state__in=BridgeOrder.UNDER_WAY)))


def count_of(sessions: QuerySet[LinkSession]) -> Coalesce:
    """Count, to annotate bridges with, sessions that are filtered by `bridge=OuterRef("pk")`."""
    counted = sessions.order_by().values("bridge").annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted), 0)


def why_not(bridge: Bridge) -> list[str]:
    """Why the bridge gets no new session, in the reader's language; empty: it may get one.

    For a bridge that does not come from `with_load` the sessions are counted here.
    """
    open_ones = bridge.sessions.filter(ended_at__isnull=True)
    running = bridge.running if hasattr(bridge, "running") else open_ones.count()
    advice = advisory(bridge.library, bridge.version)
    full = _("full: %(running)d of %(capacity)d") % {"running": running, "capacity": bridge.capacity}
    reasons = (
        (not presence.is_up(bridge), _silence(bridge)),
        (bridge.draining, _("draining")),
        (bridge.says_draining, _("is shutting down")),
        (bridge.weight == 0, _("weight 0")),
        (advice is not None and advice.level == Level.BAD, _("a version of its library that is known to be bad")),
        (running >= bridge.capacity, full),
    )
    return [text for holds, text in reasons if holds]


def _silence(bridge: Bridge) -> str:
    if bridge.last_heard_at is None:
        return _("never heard of")
    return _("not heard of for %(time)s") % {"time": timesince(bridge.last_heard_at, depth=1)}


def _preference(bridge: Any) -> tuple[bool, bool, float, int]:
    """A sort key for an eligible bridge from `with_load`; the smallest is the best."""
    failing = bridge.failing_since is not None or bridge.gave_no_code
    has_line = bridge.waiting > 0 or bridge.pairing >= bridge.pairings_at_once
    return failing, has_line, bridge.running / bridge.weight, bridge.pk


def gave_no_code() -> Exists:
    """An annotation for bridges: whether an attempt of the last minutes got no code there, nor did any later one.

    A bridge may be up and yet unable to pair. Attempts that still waited in line do not count: nothing was ordered.
    """
    mine = LinkSession.objects.filter(bridge=OuterRef("pk"), ended_at__gt=timezone.now() - TRIED_AGAIN_AFTER)
    failed = mine.filter(end_reason=EndReason.BRIDGE_UNAVAILABLE, admitted_at__isnull=False)
    shown = LinkSession.objects.filter(bridge=OuterRef("bridge"), first_qr_at__gt=OuterRef("ended_at"))
    return Exists(failed.filter(~Exists(shown)))
