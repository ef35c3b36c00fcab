"""When each bridge was last heard of, and whether it is up."""

import logging
import time
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import Case, Q, Value, When
from django.utils import timezone

from accounts.db.transactions import hardly_waiting
from accounts.models import Bridge

HEARD_EVERY = 10  # seconds between two writes of last_heard_at
UP_WITHIN = 90  # seconds of silence after which a bridge is not up: three of its heartbeats
log = logging.getLogger(__name__)
_heard: dict[int, float] = {}


def is_up(bridge: Bridge) -> bool:
    """Whether it was heard of lately. No account's status depends on it."""
    since = timezone.now() - timedelta(seconds=UP_WITHIN)
    return bridge.last_heard_at is not None and bridge.last_heard_at >= since


def hear(bridge_id: int) -> None:
    """Note that the bridge spoke; outside any transaction, and seldom, as every event's row refers to this one.

    It hardly waits for a lock on that row, or for another writer on SQLite: the bridge waits for its event's answer.
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
    except DatabaseError:  # losing the note is better than losing the event
        log.warning("bridge %s: could not note that it was heard", bridge_id)


def heard_since(now: datetime) -> Case:
    """The value of `heard_since`, for an update that sets it before last_heard_at."""
    unbroken = When(
        last_heard_at__gte=now - timedelta(seconds=UP_WITHIN), heard_since__isnull=False, then="heard_since"
    )
    return Case(unbroken, default=Value(now))
