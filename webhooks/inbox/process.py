"""T2: a kept event is applied, and tried again where that failed, until it is applied, ignored or dead.

Who else could be there: the request that brought the event, the sweep, staff who replay it, the bridge that sends it
again. Each try is counted and committed before the work.
"""

import logging
import random
from datetime import timedelta
from typing import Any

from django.db import OperationalError
from django.utils import timezone

from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.logs.format import about
from accounts.pairing.bridge_events import Outcome
from api.serializers import checked
from webhooks.events.handlers import LIFECYCLE, MESSAGES, REOPENING
from webhooks.events.ordering import Overtaken, advance, doubt, set_aside, verify
from webhooks.models import WebhookEvent

log = logging.getLogger(__name__)
State = WebhookEvent.State
MAX_ATTEMPTS = 8
LEASE = 60  # seconds; likewise for the sweep, whose task is killed at 45


def sweep() -> int:
    """Try again what failed, and what somebody died over. Gives how many events were tried."""
    due = WebhookEvent.objects.filter(state__in=[State.RECEIVED, State.FAILED], due_at__lte=timezone.now())
    return sum(_retry_safely(pk) for pk in due.order_by("pk").values_list("pk", flat=True)[:200])


def _retry_safely(event_pk: int) -> bool:
    """One whose row a hung request holds must not hold up those behind it."""
    try:
        return retry(event_pk)
    except OperationalError as error:
        log.warning("event #%s could not be taken: %s", event_pk, type(error).__name__)
        return False


def retry(event_pk: int, *, fields: dict[str, Any] | None = None, anew: bool = False) -> bool:
    """One more try, counted and committed before the work: one that kills the process must not come back for ever.

    `fields` are the data where the bridge has just sent it again; else what the inbox kept of it is used.
    `anew`: a person asks for it. A failed or dead event begins again with its tries, after the first, which was the
    request's; one that somebody works on is left to them. Whoever else tries it at the same time finds it taken.
    Raises WebhookEvent.DoesNotExist, and OperationalError: it was not taken.
    """
    event = WebhookEvent.objects.select_related("session").get(pk=event_pk)
    if event.state in {State.APPLIED, State.IGNORED} or (anew and event.is_in_work):
        return False
    tries = 1 if anew else event.attempts
    if not _claim(event, tries=tries):
        return False
    with about(session_id=event.session.session_id):
        apply(event_pk, fields, attempt=tries + 1)
    return True


@atomically
def _claim(event: WebhookEvent, *, tries: int) -> bool:
    """Take it as it was read. False: somebody else has it or is done with it, or it has had its tries.

    Locked by its key first: an UPDATE that asks for the state may go by the index of states, and deadlocks with T2.
    """
    current = locks.row(WebhookEvent, pk=event.pk)
    if (current.state, current.attempts) != (event.state, event.attempts):
        return False
    mine = WebhookEvent.objects.filter(pk=event.pk)
    if tries >= MAX_ATTEMPTS:
        mine.update(state=State.DEAD, finished_at=timezone.now())
        return False
    lease = timezone.now() + timedelta(seconds=LEASE)
    return bool(mine.update(state=State.RECEIVED, attempts=tries + 1, due_at=lease, finished_at=None))


def apply(event_pk: int, fields: dict[str, Any] | None, *, attempt: int) -> str:
    """T2, and the note of what went wrong in it."""
    with about(event_id=event_pk):
        try:
            return _apply_and_mark(event_pk, fields, attempt=attempt)
        except Overtaken:
            set_aside(event_pk, attempt=attempt)
            return Outcome.STALE
        except Exception as error:  # whatever a handler does, the event is kept and the answer is 2xx
            _mark_failed(event_pk, error, attempt=attempt)
            return "failed"


@atomically
def _apply_and_mark(event_pk: int, fields: dict[str, Any] | None, *, attempt: int) -> str:
    event = locks.row(WebhookEvent, pk=event_pk)
    if event.state != State.RECEIVED or event.attempts != attempt:
        return "duplicate"  # the lease ran out and somebody else took it
    outcome = doubt(event, attempt=attempt)
    if outcome is None:
        handler = LIFECYCLE[event.event]
        outcome = handler.apply(event.session_id, fields_of(event.event, event.payload) if fields is None else fields)
        if not outcome or event.event in REOPENING:  # what says nothing must not make others stale
            advance(event)
        if not outcome:
            verify(event)
    event.finish(outcome)
    return outcome or "applied"


@atomically
def _mark_failed(event_pk: int, error: Exception, *, attempt: int) -> None:
    """Only the kind of the error is logged: its text may hold a phone number."""
    log.error("event #%s: %s in try %s", event_pk, type(error).__name__, attempt)
    dead = attempt >= MAX_ATTEMPTS
    delay = min(5 * 2**attempt, 600) * random.uniform(0.8, 1.2)  # jitter
    WebhookEvent.objects.filter(pk=event_pk, attempts=attempt, state=State.RECEIVED).update(
        state=State.DEAD if dead else State.FAILED,
        error=_storable(f"{type(error).__name__}: {error}")[:300],
        due_at=timezone.now() + timedelta(seconds=delay),
        finished_at=timezone.now() if dead else None,
    )


def _storable(text: str) -> str:
    """An error may quote half of a surrogate pair, which the database refuses: that would be a second error."""
    return text.encode("utf-8", "replace").decode()


def fields_of(event: str, data: dict[str, Any]) -> dict[str, Any]:
    """What the event's shape makes of its data. Raises ValidationError, a 400."""
    handler = LIFECYCLE.get(event) or MESSAGES[event]
    return checked(handler.shape, data)
