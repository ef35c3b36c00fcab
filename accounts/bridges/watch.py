"""Finds in the rows what goes wrong with a whole bridge: it falls silent, or loses many links at once.

Silence is derived from the rows: it changes no account's status, and no try is counted. Many losses make one incident;
each account's history has its own loss.
"""

from collections import Counter
from datetime import datetime, timedelta

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.bridges import incidents, presence
from accounts.bridges.incidents import Kind
from accounts.jobs.queue import enqueue
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, Incident, LinkSession

# Seconds; twice the job's interval, for losses of one minute may fall into two runs.
WITHIN = 120
MANY, SHARE = 10, 0.3  # both: five of six may be one customer, and thirty of a thousand are usual in an hour
OVER_AFTER = 600  # seconds without another


def watch() -> dict[str, int]:
    """Open an incident for each bridge that has fallen silent, close it when that is over; count losses."""
    since = timezone.now() - timedelta(seconds=presence.UP_WITHIN)
    down = Incident.objects.filter(kind=Kind.DOWN, closed_at__isnull=True).values("bridge")
    silent = Bridge.objects.filter(last_heard_at__lt=since).exclude(pk__in=retired())
    for bridge in silent.exclude(pk__in=down):
        carried = bridge.sessions.filter(ended_at__isnull=True).count()
        summary = f"Silent since {bridge.last_heard_at:%F %T} UTC; it carries {carried} open sessions."
        incidents.report(bridge.pk, Kind.DOWN, summary=summary)
    back = list(Bridge.objects.filter(pk__in=down, last_heard_at__gte=since).values_list("pk", flat=True))
    for bridge_id in back:
        incidents.close(bridge_id, Kind.DOWN)
        enqueue("poll_bridge", bridge_id)  # it was heard by an event: see at once what it runs
    _close_those_of(retired().filter(last_heard_at__lt=since))
    return {"silent": silent.count(), "back": len(back), "lost many": look_for_losses()}


def _close_those_of(bridges: QuerySet[Bridge]) -> None:
    """Close all incidents of these bridges: they are gone for good, so no list will say that they are over."""
    open_ones = Incident.objects.filter(bridge__in=bridges, closed_at__isnull=True)
    for bridge_id, kind in list(open_ones.values_list("bridge", "kind")):
        incidents.close(bridge_id, Kind(kind))


def retired() -> QuerySet[Bridge]:
    """Bridges that get no new sessions and run none, so that their silence does not matter."""
    running = LinkSession.objects.filter(bridge=OuterRef("pk"), ended_at__isnull=True)
    return Bridge.objects.filter(~Exists(running), Q(draining=True) | Q(weight=0))


def look_for_losses() -> int:
    """Open incidents for bridges that have just lost many links, and close old ones. Gives how many have."""
    now = timezone.now()
    lost = _by_bridge(Status.DISCONNECTED, Status.LOGGED_OUT, Status.FAILED, since=now - timedelta(seconds=WITHIN))
    connected = _by_bridge(Status.CONNECTED) if lost else Counter()
    many = [pk for pk, count in lost.items() if count >= max(MANY, SHARE * (count + connected[pk]))]
    for bridge_id in many:
        summary = f"{lost[bridge_id]} of {lost[bridge_id] + connected[bridge_id]} links lost within two minutes."
        incidents.report(bridge_id, Kind.MASS_LOSS, summary=summary)
    calm = now - timedelta(seconds=OVER_AFTER)
    over = Incident.objects.filter(kind=Kind.MASS_LOSS, closed_at__isnull=True, last_at__lt=calm)
    for bridge_id in list(over.values_list("bridge", flat=True)):
        incidents.close(bridge_id, Kind.MASS_LOSS)
    return len(many)


def _by_bridge(*statuses: Status, since: datetime | None = None) -> Counter[int]:
    """How many accounts that were linked have one of these statuses, by the bridge of their session."""
    accounts = Account.objects.filter(status__in=statuses, current_session__connected_at__isnull=False)
    if since is not None:
        accounts = accounts.filter(status_changed_at__gte=since)
    counted = accounts.order_by().values_list("current_session__bridge").annotate(Count("pk"))
    return Counter(dict(counted))
