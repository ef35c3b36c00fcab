"""Signed requests that may count only once, and have no id or number that is signed with them.

Who else could be there: the very same request at the same moment, and one that somebody has recorded and sends later.
"""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request

from webhooks.authentication import WINDOW
from webhooks.models import SignedRequest
from webhooks.signature import is_signed, replay_key, version_of

# Seconds in which an equal request may be another one, as a bridge's clock tells whole seconds: a second and its way.
SAME_SECOND = timedelta(seconds=2)
KEPT = timedelta(seconds=2 * WINDOW)  # a timestamp may be ahead by a window, and is good for one after


def first_seen(request: Request) -> datetime | None:
    """Note a signed request. Returns when the very same one came first; None if this one did, or if it shows a key."""
    if not is_signed(request):
        return None
    key = replay_key(request, version_of(request))
    try:
        with transaction.atomic():
            SignedRequest.objects.create(key=key)
    except IntegrityError:
        return SignedRequest.objects.values_list("first_seen_at", flat=True).get(key=key)
    return None


def is_late(first_seen_at: datetime | None) -> bool:
    """Whether it comes so long after the first one that it can only be a replay."""
    return first_seen_at is not None and timezone.now() - first_seen_at > SAME_SECOND
