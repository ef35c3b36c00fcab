"""The inbox is pruned by age and state. An event that still waits for its turn is never deleted."""

from django.conf import settings
from django.utils import timezone

from accounts.housekeeping.retention import limit, older_than, prune
from api.models import RateLimitCount
from webhooks import replays
from webhooks.models import SignedRequest, StoredReport, UnmatchedTraffic, UnsignedTraffic, WebhookEvent

State = WebhookEvent.State


def run() -> dict[str, int]:
    """Delete old rows, and return how many of each kind."""
    return {
        "done": _events(State.APPLIED, State.IGNORED, days=settings.LINKDESK_KEEP_EVENTS_DAYS),
        "dead": _events(State.DEAD, days=settings.LINKDESK_KEEP_DEAD_DAYS),
        "unmatched": _unmatched(),
        "requests": prune(SignedRequest.objects.filter(first_seen_at__lt=timezone.now() - replays.KEPT)),
    }


def _events(*states: State, days: int) -> int:
    before = limit(days)
    # The end must be long ago too: an old dead letter that was replayed yesterday is yesterday's.
    return prune(older_than(WebhookEvent, "received_at", before).filter(state__in=states, finished_at__lt=before))


def _unmatched() -> int:
    """Delete rows that only count, long after their last count. One row for each kind keeps the tables small."""
    before = limit(settings.LINKDESK_KEEP_UNMATCHED_DAYS)
    counted = (UnmatchedTraffic, UnsignedTraffic, StoredReport, RateLimitCount)
    return sum(prune(model.objects.filter(last_at__lt=before)) for model in counted)
