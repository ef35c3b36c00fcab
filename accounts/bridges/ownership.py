"""Tells which sessions a bridge may see, which ones it must run, and which ones run elsewhere."""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.bridges.presence import UP_WITHIN
from accounts.lifecycle import Status
from accounts.models import Bridge, LinkMove, LinkSession

# A move's stop is awaited for so long: then it is given up (delivery/retries.py), while its rows are all still kept.
STOP_AWAITED = timedelta(days=1)
RESUMABLE = [Status.AUTHENTICATED, Status.CONNECTED, Status.DISCONNECTED]


def sessions_of(bridge_id: int) -> QuerySet[LinkSession]:
    """The sessions that a bridge may see: those it owns, in workspaces that it serves."""
    named = Bridge.workspaces.through.objects.filter(bridge_id=bridge_id)
    served = Exists(named.filter(workspace_id=OuterRef("account__workspace_id")))
    return LinkSession.objects.filter(Q(~Exists(named)) | Q(served), bridge=bridge_id)


def resumable(bridge_id: int) -> QuerySet[LinkSession]:
    """Its open sessions with a stored login, which it must run. Any other would show a QR code to nobody."""
    return sessions_of(bridge_id).filter(
        ~waits_for_stop(),
        ended_at__isnull=True,
        authenticated_at__isnull=False,
        account__status__in=RESUMABLE,
        account__deleted_at__isnull=True,
    )


def awaited_moves() -> QuerySet[LinkMove]:
    """The moves whose old bridge has not stopped the session yet, and whose new one was not told to start it."""
    lately = timezone.now() - STOP_AWAITED
    return LinkMove.objects.filter(state=LinkMove.State.WAITS_FOR_STOP, started_at__gt=lately)


def waits_for_stop() -> Exists:
    """A filter for sessions that were moved and must not run at the new bridge before the former one has stopped them
    (accounts/reconcile/relocation.py). The new one was not told to start them yet."""
    return Exists(awaited_moves().filter(session=OuterRef("pk")))


def runs_elsewhere() -> Q:
    """A filter for sessions that a rival was seen running, within the time of three lists.

    Or within a day, if the owner is heard again only since a moment ago: perhaps no bridge was heard for hours, and the
    owner may give its list before the rival does.
    """
    now = timezone.now()
    lately = now - timedelta(seconds=UP_WITHIN)
    return Q(rival_seen_at__gt=lately) | Q(rival_seen_at__gt=now - STOP_AWAITED, bridge__heard_since__gt=lately)
