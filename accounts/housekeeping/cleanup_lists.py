"""What a bridge asks before and after it tidies up: what may go, and how it stands."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.bridges import ownership
from accounts.housekeeping import cleanup
from accounts.lifecycle import Status
from accounts.models import LinkSession, Transition
from accounts.reconcile import run

STALE_AFTER = timedelta(hours=24)  # a Node bridge forgets what failed for longer than a day
LISTED = 50


def for_cleanup(bridge_id: int) -> QuerySet[LinkSession]:
    """The last sessions of accounts without an open one, ended over a day ago; the latest first.

    None while we only observe (LINKDESK_RECONCILE): what it is given it forgets, and a restored backup may be wrong.
    """
    if run.is_observing():
        return LinkSession.objects.none()
    running = LinkSession.objects.filter(account=OuterRef("account"), ended_at__isnull=True)
    last = ownership.sessions_of(bridge_id).filter(account__deleted_at__isnull=True, pk=F("account__current_session"))
    ended = last.filter(~Exists(running), ended_at__lt=timezone.now() - STALE_AFTER)
    return ended.select_related("account").order_by("-ended_at")[:LISTED]


def stats_of(bridge_id: int) -> dict[str, Any]:
    """Of what the bridge owns: six numbers from two queries, however many accounts there are."""
    stale = Q(status_changed_at__lt=timezone.now() - STALE_AFTER)
    gone, failed = Q(status__in=[Status.DISCONNECTED, Status.LOGGED_OUT]), Q(status=Status.FAILED)
    week = Q(created_at__gte=timezone.now() - timedelta(days=7))
    cleanups = Transition.objects.filter(trigger=cleanup.TRIGGER, session__in=ownership.sessions_of(bridge_id))
    return cleanups.aggregate(
        cleanups_last_7_days=Count("pk", filter=week), last_cleanup_at=Max("created_at")
    ) | cleanup.of_bridge(bridge_id).aggregate(
        stale_disconnected_count=Count("pk", filter=stale & gone),
        stale_failed_count=Count("pk", filter=stale & failed),
        healthy_accounts=Count("pk", filter=Q(status=Status.CONNECTED)),
        low_health_accounts=Count("pk", filter=Q(status=Status.DISCONNECTED)),
    )
