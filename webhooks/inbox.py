"""Durable first, then applied: what happens to an event between its signature and its answer.

Two transactions. T1 stores the event with its first try counted; T2 applies it under the account's lock. One
transaction would lose the event when a handler dies, and storing a row before locking its parent deadlocks.
"""

import hashlib
import logging
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.bridge_reports import Outcome
from accounts.counters import count, count_known
from accounts.lifecycle import SOFT_ENDS
from accounts.locking import atomically
from accounts.logs import about
from accounts.models import LinkSession
from accounts.orders import stop_resurrected
from api.shapes import checked
from webhooks import budgets
from webhooks.doubts import Overtaken, advance, doubt, set_aside, verify
from webhooks.handlers import DROPPED, LIFECYCLE, LIVING, MESSAGES, REOPENING, SECRETS
from webhooks.messages import comes_from_former_owner
from webhooks.models import UnmatchedTraffic, WebhookEvent
from webhooks.reports import flag_rival

log = logging.getLogger(__name__)
State = WebhookEvent.State
Reason = UnmatchedTraffic.Reason

MAX_ATTEMPTS = 8
REQUEST_LEASE = 20  # seconds; a request that works on an event for longer is dead: the bridge waits 10
LEASE = 60  # seconds; likewise for the sweep, whose task is killed at 45
TAKE_OVER_AFTER = 2  # seconds; the bridge sends an event again: the request that had it may have died
MAX_PAYLOAD = 16 * 1024  # bytes of JSON; the longest lifecycle event is under 1 kB without its QR code


@dataclass(frozen=True)
class Delivery:
    """A verified event; `data` is as it came."""

    bridge_id: int
    event: str
    session_id: str
    data: dict[str, Any]
    replay_key: str
    event_id: str | None = None
    boot: str = ""
    sequence: int | None = None


def receive(delivery: Delivery, *, charge: bool = True) -> str:
    """Keep the event, apply it, and say what became of it in one word.

    Raises ApiError and ValidationError: refused (429, 400); OperationalError and OSError: nothing was kept.
    `charge`: take it from its budget; not again for an event whose first try met a database in trouble.
    """
    known = LinkSession.objects.select_related("account__workspace")
    session = known.filter(session_id=delivery.session_id).first()
    unmatched = _why_unmatched(delivery, session)
    if unmatched is not None:
        _count_and_charge(delivery, session, unmatched, charge=charge)
        if unmatched == Reason.ENDED:
            _stop_if_it_runs(delivery)
        elif unmatched == Reason.NOT_OWNER and session is not None:
            flag_rival(delivery.bridge_id, session)
        # Another bridge's session is answered as none: an answer must not tell that it is there.
        return str(Reason.UNKNOWN_SESSION if unmatched == Reason.NOT_OWNER else unmatched)
    assert session is not None
    if charge:
        budgets.charge(session, delivery.event, sender_id=delivery.bridge_id)
    fields = _fields(delivery.event, delivery.data)
    if delivery.event in MESSAGES:
        outcome = MESSAGES[delivery.event].apply(session.pk, fields)
        # Kept, and a sign that the bridge runs on what has ended here. A former owner's may come from its outbox.
        if not session.is_open and session.bridge_id == delivery.bridge_id:
            _stop_if_it_runs(delivery)
        return outcome or "applied"
    event_pk = _store(delivery, session.pk, fields=fields)
    if event_pk is None:
        return _take_over(delivery, fields=fields)
    return _apply(event_pk, fields, attempt=1)


def _count_and_charge(
    delivery: Delivery, session: LinkSession | None, reason: UnmatchedTraffic.Reason, *, charge: bool
) -> None:
    """One row, however often: a bridge sends QR codes for a logged-out session for ever.

    A row that is there is counted first; a new one is made only within the budget, so that a bridge that makes up
    session ids fills no table.
    """
    key = {"bridge_id": delivery.bridge_id, "session_id": delivery.session_id, "event": delivery.event}
    is_known = count_known(UnmatchedTraffic, **key, reason=reason)
    if charge and session is not None and session.bridge_id == delivery.bridge_id:
        budgets.charge(session, delivery.event, sender_id=delivery.bridge_id)
    elif charge:
        budgets.charge_stray(delivery.bridge_id)
    if not is_known:
        count(UnmatchedTraffic, **key, reason=reason)


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
        _apply(event_pk, fields, attempt=tries + 1)
    return True


@atomically
def _claim(event: WebhookEvent, *, tries: int) -> bool:
    """Take it as it was read. False: somebody else has it or is done with it, or it has had its tries.

    Locked by its key first: an UPDATE that asks for the state may go by the index of states, and deadlocks with T2.
    """
    current = WebhookEvent.objects.select_for_update().get(pk=event.pk)
    if (current.state, current.attempts) != (event.state, event.attempts):
        return False
    mine = WebhookEvent.objects.filter(pk=event.pk)
    if tries >= MAX_ATTEMPTS:
        mine.update(state=State.DEAD, finished_at=timezone.now())
        return False
    lease = timezone.now() + timedelta(seconds=LEASE)
    return bool(mine.update(state=State.RECEIVED, attempts=tries + 1, due_at=lease, finished_at=None))


def _why_unmatched(delivery: Delivery, session: LinkSession | None) -> UnmatchedTraffic.Reason | None:
    """Rule 1: events are matched by session id; what the body says about workspaces is only an echo."""
    if delivery.event in DROPPED:
        return Reason.DROPPED
    if delivery.event not in LIFECYCLE and delivery.event not in MESSAGES:
        return Reason.UNKNOWN_EVENT
    if session is None:
        return Reason.UNKNOWN_SESSION
    if session.bridge_id != delivery.bridge_id:
        is_kept = delivery.event in MESSAGES and comes_from_former_owner(delivery.bridge_id, session.pk)
        return None if is_kept else Reason.NOT_OWNER
    if delivery.event in LIFECYCLE and not session.is_open:
        reopens = session.end_reason in SOFT_ENDS and delivery.event in REOPENING
        return None if reopens else Reason.ENDED
    return None


@atomically
def _stop_if_it_runs(delivery: Delivery) -> None:
    if delivery.event in LIVING:
        stop_resurrected(LinkSession.objects.select_for_update().get(session_id=delivery.session_id))


def _store(delivery: Delivery, session_pk: int, *, fields: dict[str, Any]) -> int | None:
    """T1. None: the very same request, or the same event id, is here already."""
    try:
        return _insert(delivery, session_pk, fields=fields)
    except IntegrityError:
        if not _twins_of(delivery).exists():
            raise  # another constraint: the event is not kept
        return None


def _twins_of(delivery: Delivery) -> QuerySet[WebhookEvent]:
    same = Q(replay_key=delivery.replay_key)
    if delivery.event_id:
        same |= Q(event_id=delivery.event_id)
    return WebhookEvent.objects.filter(same, bridge_id=delivery.bridge_id)


def _take_over(delivery: Delivery, *, fields: dict[str, Any]) -> str:
    """Sent again, because the first request got no answer: when it died over the event, do its work now.

    Waiting for the sweep could cost a scan its 90 s. One that still works holds the event's row, so that the
    claim in `retry` waits for it and then finds nothing to do.
    """
    untouched = timezone.now() + timedelta(seconds=REQUEST_LEASE - TAKE_OVER_AFTER)
    for pk in _twins_of(delivery).filter(state=State.RECEIVED, due_at__lt=untouched).values_list("pk", flat=True):
        retry(pk, fields=fields)
    return "duplicate"


@atomically
def _insert(delivery: Delivery, session_pk: int, *, fields: dict[str, Any]) -> int:
    with transaction.atomic():
        event = WebhookEvent.objects.create(
            bridge_id=delivery.bridge_id,
            session_id=session_pk,
            event=delivery.event,
            payload=_without_secrets(delivery, fields),
            event_id=delivery.event_id,
            replay_key=delivery.replay_key,
            boot=delivery.boot,
            sequence=delivery.sequence,
            due_at=timezone.now() + timedelta(seconds=REQUEST_LEASE),
        )
    return event.pk


def _apply(event_pk: int, fields: dict[str, Any] | None, *, attempt: int) -> str:
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
    event = WebhookEvent.objects.select_for_update().get(pk=event_pk)
    if event.state != State.RECEIVED or event.attempts != attempt:
        return "duplicate"  # the lease ran out and somebody else took it
    outcome = doubt(event, attempt=attempt)
    if outcome is None:
        handler = LIFECYCLE[event.event]
        outcome = handler.apply(event.session_id, _fields(event.event, event.payload) if fields is None else fields)
        if not outcome or event.event in REOPENING:  # what says nothing must not make others stale
            advance(event)
        if not outcome:
            verify(event)
    event.state = State.IGNORED if outcome else State.APPLIED
    event.reason, event.error, event.finished_at = outcome, "", timezone.now()
    event.save(update_fields=["state", "reason", "error", "finished_at"])
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


def _fields(event: str, data: dict[str, Any]) -> dict[str, Any]:
    """What the event's shape makes of its data. Raises ValidationError, a 400."""
    handler = LIFECYCLE.get(event) or MESSAGES[event]
    return checked(handler.shape, data)


def _without_secrets(delivery: Delivery, fields: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in delivery.data.items() if key not in SECRETS}
    if len(str(kept)) > MAX_PAYLOAD:  # no bridge sends such an event: keep what we understand of it
        kept = {key: value for key, value in fields.items() if key not in SECRETS}
    return kept


def replay_key(timestamp: str, signature: str) -> str:
    """What makes two requests the very same one: a retry has a new timestamp and signature."""
    return hashlib.sha256(f"{timestamp}:{signature}".encode("utf-8", "surrogateescape")).hexdigest()
