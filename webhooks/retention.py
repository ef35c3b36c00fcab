"""The inbox is pruned by age and state. An event that still waits for its turn is never deleted."""

from functools import partial

from django.conf import settings
from django.utils import timezone

from accounts.housekeeping.pruning import Piece, in_pieces, older_than
from accounts.housekeeping.retention import limit
from api.models import RateLimitCount
from webhooks import replays
from webhooks.models import SignedRequest, StoredReport, UnmatchedTraffic, UnsignedTraffic, WebhookEvent

State = WebhookEvent.State


def run() -> dict[str, int]:
    """Delete old rows, and return how many of each kind."""
    return in_pieces(
        {
            "done": partial(_events, states=(State.APPLIED, State.IGNORED), days=settings.LINKDESK_KEEP_EVENTS_DAYS),
            "dead": partial(_events, states=(State.DEAD,), days=settings.LINKDESK_KEEP_DEAD_DAYS),
            "unmatched": _unmatched,
            "requests": _requests,
        }
    )


def _events(piece: Piece, *, states: tuple[State, ...], days: int) -> int:
    before = limit(days)
    # The end must be long ago too: an old dead letter that was replayed yesterday is yesterday's.
    old = older_than(WebhookEvent, "received_at", before)
    return piece.prune(old.filter(state__in=states, finished_at__lt=before))


def _unmatched(piece: Piece) -> int:
    """Delete rows that only count, long after their last count. One row for each kind keeps the tables small."""
    before = limit(settings.LINKDESK_KEEP_UNMATCHED_DAYS)
    counted = (UnmatchedTraffic, UnsignedTraffic, StoredReport, RateLimitCount)
    return sum(piece.prune(model.objects.filter(last_at__lt=before)) for model in counted)


def _requests(piece: Piece) -> int:
    return piece.prune(SignedRequest.objects.filter(first_seen_at__lt=timezone.now() - replays.KEPT))
