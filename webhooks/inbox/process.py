"""T2: a stored event is applied, and tried again after a failure, until it is applied, ignored or dead.

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
from accounts.fields import storable
from accounts.lifecycle import Status
from accounts.logs.format import about
from accounts.models import Account
from accounts.pairing.bridge_events import Outcome
from api.serializers import checked
from webhooks.events.handlers import CODES, LIFECYCLE, LOSING, MESSAGES, REOPENING
from webhooks.events.ordering import Overtaken, advance, doubt, set_aside, verify
from webhooks.models import WebhookEvent

log = logging.getLogger(__name__)
State = WebhookEvent.State
MAX_ATTEMPTS = 8
LEASE = 60  # seconds; this holds for the sweep too, as its task is killed at 45


def sweep() -> int:
    """Retry the events that failed, and those whose process died. Returns how many were tried."""
    due = WebhookEvent.objects.filter(state__in=[State.RECEIVED, State.FAILED], due_at__lte=timezone.now())
    return sum(_retry_safely(pk) for pk in due.order_by("pk").values_list("pk", flat=True)[:200])


def _retry_safely(event_pk: int) -> bool:
    """Retry one event. If a hung request holds its row, it is skipped: it must not hold up the others."""
    try:
        return retry(event_pk)
    except OperationalError as error:
        log.warning("event #%s could not be taken: %s", event_pk, type(error).__name__)
        return False


def retry(event_pk: int, *, fields: dict[str, Any] | None = None, anew: bool = False) -> bool:
    """Try once more. The try is committed before the work: an event that kills the process must not return for ever.

    `fields` are the data when the bridge has just resent the event; without them the inbox's copy is used.
    `anew` means that a person asks. The tries of a failed or dead event start over, after the first, which was the
    request's; an event in work is left alone. A concurrent try finds the event taken.
    Raises WebhookEvent.DoesNotExist, and OperationalError when the event was not taken.
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
    """Take the event as it was read. False: another process has it or has finished it, or it has had its tries.

    The row is locked by its key first: an UPDATE filtered by state may use the index of states, and deadlock with T2.
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
    """Run T2, and record what went wrong in it."""
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
        return "duplicate"  # the lease ran out and another process took it
    outcome = doubt(event, attempt=attempt)
    if outcome is None:
        outcome = _handle(event, fields)
    event.finish(outcome)
    return outcome or "applied"


def _handle(event: WebhookEvent, fields: dict[str, Any] | None) -> Outcome:
    if fields is None and event.event in CODES:
        return Outcome.STALE  # the inbox keeps no codes: the next one comes within 20 s
    handler = LIFECYCLE[event.event]
    outcome = handler.apply(event.session_id, fields_of(event.event, event.payload) if fields is None else fields)
    if not outcome or _counts_without_effect(event):
        advance(event)
    if not outcome:
        verify(event)
    return outcome


def _counts_without_effect(event: WebhookEvent) -> bool:
    """Whether it makes earlier events stale although it changed nothing, which others must not: a scan, or the loss of
    a link that is lost already. A `ready` between the two losses must not undo the second."""
    is_lost = Account.objects.filter(current_session=event.session_id, status=Status.DISCONNECTED)
    return event.event in REOPENING or (event.event in LOSING and is_lost.exists())


@atomically
def _mark_failed(event_pk: int, error: Exception, *, attempt: int) -> None:
    """Only the kind of the error is logged: its text may hold a phone number."""
    log.error("event #%s: %s in try %s", event_pk, type(error).__name__, attempt)
    dead = attempt >= MAX_ATTEMPTS
    delay = min(5 * 2**attempt, 600) * random.uniform(0.8, 1.2)  # jitter
    WebhookEvent.objects.filter(pk=event_pk, attempts=attempt, state=State.RECEIVED).update(
        state=State.DEAD if dead else State.FAILED,
        error=storable(f"{type(error).__name__}: {error}")[:300],
        due_at=timezone.now() + timedelta(seconds=delay),
        finished_at=timezone.now() if dead else None,
    )


def fields_of(event: str, data: dict[str, Any]) -> dict[str, Any]:
    """Validate the data by the event's serializer. Raises ValidationError, a 400."""
    handler = LIFECYCLE.get(event) or MESSAGES[event]
    return checked(handler.shape, data)
