"""Pauses the orders to a bridge that fails, so that it does not hold up the others."""

import logging
import random
from datetime import timedelta

from django.db import DatabaseError
from django.db.models import Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import Bridge

LONGEST_PAUSE = 15  # seconds
log = logging.getLogger(__name__)


def pause(bridge: Bridge) -> float:
    """Seconds for which a bridge that failed gets no order, with jitter; 0: it may have one."""
    until = bridge.orders_wait_until
    left = (until - timezone.now()).total_seconds() if until else 0
    return left + random.uniform(0, 0.5) if left > 0 else 0


def failed(bridge: Bridge, problem: str) -> None:
    """Pause it for as long as it has been failing: 1 s, then twice as long each time, 15 s at the most."""
    now = timezone.now()
    failing = (now - bridge.failing_since).total_seconds() if bridge.failing_since else 0
    wait_until = now + timedelta(seconds=min(max(1, failing), LONGEST_PAUSE))
    since = Coalesce("failing_since", Value(now))
    _note(bridge, failing_since=since, orders_wait_until=wait_until, last_error=problem[:200])


def answered(bridge: Bridge) -> None:
    _note(bridge, failing_since=None, orders_wait_until=None, last_error="")


def _note(bridge: Bridge, **values: object) -> None:
    """Update the bridge's row outside any transaction, and only if needed: every event's row refers to it."""
    row = Bridge.objects.filter(pk=bridge.pk)
    if values["failing_since"] is None:
        row = row.filter(failing_since__isnull=False)
    try:
        row.update(**values)
    except DatabaseError:  # losing the note is better than losing the order
        log.warning("bridge %s: could not note how it answers", bridge.pk)


def is_known_to_fail(bridge: Bridge) -> bool:
    """Whether it has failed for over 15 s. A restart is shorter, and must not make it wait for bridges that hang."""
    since = bridge.failing_since
    return since is not None and since < timezone.now() - timedelta(seconds=LONGEST_PAUSE)
