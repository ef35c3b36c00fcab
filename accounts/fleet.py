"""The bridges: which one takes a new session, why another does not, and when we last heard of each."""

import logging
import time
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models import Case, Count, Exists, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from accounts.advisories import Level, advisory
from accounts.lifecycle import PAIRING, SCANNABLE_ENDS, EndReason, Status
from accounts.locking import hardly_waiting
from accounts.models import Bridge, BridgeOrder, LinkSession, Workspace

HEARD_EVERY = 10  # seconds between two writes of last_heard_at
UP_WITHIN = 90  # seconds of silence after which a bridge is not up: three of its heartbeats
# Then nobody waits for a stop any more: it is given up by then (unclear.py), and the rows that tell are still all kept.
STOP_AWAITED = timedelta(days=1)
LEAVES_WITHIN = timedelta(minutes=2)  # a stop that is not carried out by then keeps nobody waiting

TRIED_AGAIN_AFTER = timedelta(minutes=10)  # since an attempt there had no code; until then others come first

RESUMABLE = [Status.AUTHENTICATED, Status.CONNECTED, Status.DISCONNECTED]

log = logging.getLogger(__name__)

_heard: dict[int, float] = {}


class NoBridgeAvailable(Exception):
    """No bridge serves this workspace, or none of those that do may take a new session."""


def choose(workspace: Workspace) -> Bridge:
    """The least loaded bridge, by weight, of those that may take one more session of this workspace.

    One where attempts wait in line comes after those where none does. One that does not carry out our orders comes
    last: every failure makes it look idle. Raises NoBridgeAvailable.
    """
    chosen = min(eligible(workspace), key=_preference, default=None)
    if chosen is None:
        raise NoBridgeAvailable
    return chosen


def eligible(workspace: Workspace) -> list[Bridge]:
    """Those that may take one more session of this workspace. One query, however many there are."""
    return [bridge for bridge in with_load(serving(workspace)) if not why_not(bridge)]


def serving(workspace: Workspace) -> QuerySet[Bridge]:
    return Bridge.objects.filter(Q(workspaces=workspace) | Q(workspaces__isnull=True))


def with_load(bridges: QuerySet[Bridge]) -> QuerySet[Bridge]:
    """With what choosing weighs: how many sessions run, pair and wait in line there, and whether it gave no code."""
    mine = LinkSession.objects.filter(bridge=OuterRef("pk"), ended_at__isnull=True)
    return bridges.annotate(
        running=count_of(mine),
        pairing=count_of(mine.filter(admitted_at__isnull=False, account__status__in=PAIRING))
        + count_of(leaving().filter(bridge=OuterRef("pk"))),
        waiting=count_of(mine.filter(admitted_at__isnull=True)),
        gave_no_code=gave_no_code(),
    )


def leaving() -> QuerySet[LinkSession]:
    """Sessions that ended softly and live at their bridge until they are stopped (rule 6): they take a place there."""
    stops = BridgeOrder.objects.filter(session=OuterRef("pk"), bridge=OuterRef("bridge"), kind=BridgeOrder.Kind.STOP)
    lately = timezone.now() - LEAVES_WITHIN
    ended = LinkSession.objects.filter(end_reason__in=SCANNABLE_ENDS, ended_at__gt=lately)
    return ended.filter(Exists(stops.filter(state__in=BridgeOrder.UNDER_WAY)))


def count_of(sessions: QuerySet[LinkSession]) -> Coalesce:
    """For an annotation of bridges, of sessions that name OuterRef("pk") as theirs."""
    counted = sessions.order_by().values("bridge").annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted), 0)


def why_not(bridge: Bridge) -> list[str]:
    """Why it gets no new session, in the reader's language; nothing: it may get one.

    Of a bridge that does not come from `with_load` it counts the sessions itself.
    """
    open_ones = bridge.sessions.filter(ended_at__isnull=True)
    running = bridge.running if hasattr(bridge, "running") else open_ones.count()
    advice = advisory(bridge.library, bridge.version)
    full = _("full: %(running)d of %(capacity)d") % {"running": running, "capacity": bridge.capacity}
    reasons = (
        (not is_up(bridge), _silence(bridge)),
        (bridge.draining, _("draining")),
        (bridge.says_draining, _("is shutting down")),
        (bridge.weight == 0, _("weight 0")),
        (advice is not None and advice.level == Level.BAD, _("a version of its library that is known to be bad")),
        (running >= bridge.capacity, full),
    )
    return [text for holds, text in reasons if holds]


def is_up(bridge: Bridge) -> bool:
    """Heard of lately. No account's status depends on it."""
    since = timezone.now() - timedelta(seconds=UP_WITHIN)
    return bridge.last_heard_at is not None and bridge.last_heard_at >= since


def _silence(bridge: Bridge) -> str:
    if bridge.last_heard_at is None:
        return _("never heard of")
    return _("not heard of for %(time)s") % {"time": timesince(bridge.last_heard_at, depth=1)}


def _preference(bridge: Any) -> tuple[bool, bool, float, int]:
    """The smallest is the best. For a bridge `with_load` that may take one more."""
    failing = bridge.failing_since is not None or bridge.gave_no_code
    has_line = bridge.waiting > 0 or bridge.pairing >= bridge.pairings_at_once
    return failing, has_line, bridge.running / bridge.weight, bridge.pk


def gave_no_code() -> Exists:
    """For an annotation of bridges: an attempt of the last minutes had no code there, nor had a later one.

    That it is heard of does not show that it can pair. An attempt that still waited in line says nothing: nothing was
    ordered there.
    """
    mine = LinkSession.objects.filter(bridge=OuterRef("pk"), ended_at__gt=timezone.now() - TRIED_AGAIN_AFTER)
    failed = mine.filter(end_reason=EndReason.BRIDGE_UNAVAILABLE, admitted_at__isnull=False)
    shown = LinkSession.objects.filter(bridge=OuterRef("bridge"), first_qr_at__gt=OuterRef("ended_at"))
    return Exists(failed.filter(~Exists(shown)))


def hear(bridge_id: int) -> None:
    """Note that the bridge spoke. Outside any transaction, and seldom: every event's row points at this one.

    Whoever holds that row, or writes on SQLite, is hardly waited for: the bridge's patience is for its event.
    """
    if time.monotonic() - _heard.get(bridge_id, -HEARD_EVERY) < HEARD_EVERY:
        return
    _heard[bridge_id] = time.monotonic()
    now = timezone.now()
    stale = Q(last_heard_at__isnull=True) | Q(last_heard_at__lt=now - timedelta(seconds=HEARD_EVERY))
    # The order counts: MariaDB assigns from left to right, and the first must see the old last_heard_at.
    try:
        with hardly_waiting():
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
        ~waits_for_stop(),
        ended_at__isnull=True,
        authenticated_at__isnull=False,
        account__status__in=RESUMABLE,
        account__deleted_at__isnull=True,
    )


def waits_for_stop() -> Exists:
    """Of a session: it was moved to its bridge, and must not run there before its former one has stopped it
    (accounts/moving.py). Until then it was not started here."""
    opened = BridgeOrder.objects.filter(kind=BridgeOrder.Kind.START, session=OuterRef("session"))
    opened = opened.filter(bridge=OuterRef("session__bridge"), pk__gt=OuterRef("pk"))
    stops = BridgeOrder.objects.filter(kind=BridgeOrder.Kind.STOP, why=BridgeOrder.Why.STAFF, session=OuterRef("pk"))
    stops = stops.filter(created_at__gt=timezone.now() - STOP_AWAITED)
    return Exists(stops.filter(~Exists(opened)).exclude(bridge=OuterRef("bridge")))


def runs_elsewhere() -> Q:
    """Of a session: a bridge that does not own it was seen running it, within three lists.

    Or within a day, where its owner is heard again only since then: nobody may have been heard for hours, and of two
    bridges the owner may be the first to give a list.
    """
    now = timezone.now()
    lately = now - timedelta(seconds=UP_WITHIN)
    return Q(rival_seen_at__gt=lately) | Q(rival_seen_at__gt=now - STOP_AWAITED, bridge__heard_since__gt=lately)
