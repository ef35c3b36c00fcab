"""A bridge says what it is and what it runs; it is told what to stop and what to restore. No status moves here.

Who else could be there: events that overtake the heartbeat, and orders on their way. So the advice keeps away from
whatever moved within the last minutes: what is left out now is in the next heartbeat's answer.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts import fleet
from accounts.lifecycle import PROVEN_AFTER, SOFT_ENDS
from accounts.locking import atomically
from accounts.models import Bridge, BridgeOrder, LinkSession

log = logging.getLogger(__name__)

SEEN_EVERY = 20  # seconds between two writes of a session's last_seen_at by heartbeats, which come every 30 s
# Rule 12: absent in three heartbeats in a row means absent: several processes behind one address answer in turn.
ABSENT_AFTER = 90
SOFT_END_SETTLED = 60  # seconds; until then a scan that was under way may take the end back
# Rule 12: more at once than both, and it is rather we who are wrong.
STOPS_AT_ONCE = 3
STOPS_SHARE = 0.05


@dataclass(frozen=True)
class Heartbeat:
    """`capacity` and `capabilities`: None where the bridge does not say."""

    library: str
    version: str
    capacity: int | None
    capabilities: list[str] | None
    running: frozenset[str]


@dataclass(frozen=True)
class Advice:
    stop: list[str]
    restore: list[LinkSession]


def beat(bridge_id: int, heartbeat: Heartbeat) -> Advice:
    _record(bridge_id, heartbeat)
    _see(bridge_id, heartbeat.running)
    return Advice(stop=_stops(bridge_id, heartbeat.running), restore=_restores(bridge_id, heartbeat.running))


@atomically
def _record(bridge_id: int, heartbeat: Heartbeat) -> None:
    now = timezone.now()
    said = {"capacity": heartbeat.capacity, "capabilities": heartbeat.capabilities}
    Bridge.objects.filter(pk=bridge_id).update(
        heard_since=fleet.heard_since(now),  # before last_heard_at, see there
        last_heard_at=now,
        last_heartbeat_at=now,
        library=heartbeat.library,
        version=heartbeat.version,
        sessions_reported=len(heartbeat.running),
        **{name: value for name, value in said.items() if value is not None},
    )


@atomically
def _see(bridge_id: int, running: frozenset[str]) -> None:
    unseen = _not_seen_for(SEEN_EVERY) & Q(ended_at__isnull=True, session_id__in=running)
    LinkSession.objects.filter(unseen, bridge=bridge_id).update(last_seen_at=timezone.now())


def _stops(bridge_id: int, running: frozenset[str]) -> list[str]:
    """What has an ended row here, and nothing else: an unknown session may be somebody's link (rule 12)."""
    settling = Q(end_reason__in=SOFT_ENDS, ended_at__gte=_ago(SOFT_END_SETTLED))
    ended = fleet.sessions_of(bridge_id).filter(~settling, ended_at__isnull=False, session_id__in=running)
    stops = list(ended.order_by("pk").values_list("session_id", flat=True))
    if len(stops) > max(STOPS_AT_ONCE, STOPS_SHARE * len(running)):
        log.warning("bridge %s runs %s sessions that have ended here: too many to stop at once", bridge_id, len(stops))
        return []
    return stops


def _restores(bridge_id: int, running: frozenset[str]) -> list[LinkSession]:
    """What should run there and does not, unless somebody has just been at it."""
    ordered = BridgeOrder.objects.filter(session=OuterRef("pk"), state__in=BridgeOrder.UNDER_WAY)
    settled: QuerySet[LinkSession] = fleet.resumable(bridge_id).filter(
        _not_seen_for(ABSENT_AFTER),
        ~Exists(ordered),
        authenticated_at__lt=_ago(PROVEN_AFTER),  # rule 7: no second socket in the quiet time
        account__status_changed_at__lt=_ago(ABSENT_AFTER),
    )
    absent = settled.select_related("account").order_by("pk")
    return [session for session in absent if session.session_id not in running]


def _not_seen_for(seconds: float) -> Q:
    return Q(last_seen_at__isnull=True) | Q(last_seen_at__lt=_ago(seconds))


def _ago(seconds: float) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)
