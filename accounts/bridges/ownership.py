"""Which sessions are a bridge's: those that it may see, those that it must run, those that run elsewhere."""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.bridges.presence import UP_WITHIN
from accounts.lifecycle import Status
from accounts.models import Bridge, LinkMove, LinkSession

# Then nobody waits for a stop any more: it is given up by then (delivery/retries.py), and its rows are all still kept.
STOP_AWAITED = timedelta(days=1)
RESUMABLE = [Status.AUTHENTICATED, Status.CONNECTED, Status.DISCONNECTED]


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


def awaited_moves() -> QuerySet[LinkMove]:
    """The moves whose old bridge has not stopped the session yet, and whose new one was not told to start it."""
    lately = timezone.now() - STOP_AWAITED
    return LinkMove.objects.filter(state=LinkMove.State.WAITS_FOR_STOP, started_at__gt=lately)


def waits_for_stop() -> Exists:
    """Of a session: it was moved to its bridge, and must not run there before its former one has stopped it
    (accounts/reconcile/relocation.py). Until then it was not started here."""
    return Exists(awaited_moves().filter(session=OuterRef("pk")))


def runs_elsewhere() -> Q:
    """Of a session: a bridge that does not own it was seen running it, within three lists.

    Or within a day, where its owner is heard again only since then: nobody may have been heard for hours, and of two
    bridges the owner may be the first to give a list.
    """
    now = timezone.now()
    lately = now - timedelta(seconds=UP_WITHIN)
    return Q(rival_seen_at__gt=lately) | Q(rival_seen_at__gt=now - STOP_AWAITED, bridge__heard_since__gt=lately)
