"""Rule 0: where an event and the record disagree and either may be the newer, the bridge is asked instead."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from accounts.bridge_reports import Outcome
from accounts.lifecycle import Status
from accounts.locking import atomically
from accounts.models import BridgeOrder, LinkSession
from accounts.orders import ask
from webhooks.handlers import DEMOTING, LOSING, REOPENING
from webhooks.models import WebhookEvent

REPEATED_WITHIN = 60  # seconds


class Overtaken(Exception):
    """A later event of the session is applied already; raised to take back what the older one did."""


def advance(event: WebhookEvent) -> None:
    """Note the event as the session's newest. After its handler, which holds the account's lock: before it, a later
    event could still be under way in another process."""
    if not event.boot or event.sequence is None:
        return
    not_older = ~Q(applied_boot=event.boot) | Q(applied_sequence__isnull=True) | Q(applied_sequence__lte=event.sequence)
    newest = LinkSession.objects.filter(not_older, pk=event.session_id)
    if not newest.update(applied_boot=event.boot, applied_sequence=event.sequence):
        raise Overtaken


@atomically
def set_aside(event_pk: int, *, attempt: int) -> None:
    """Mark it stale. Of a scan that was overtaken the bridge is asked: it may be linked all the same."""
    event = WebhookEvent.objects.select_for_update().get(pk=event_pk)
    if event.state != WebhookEvent.State.RECEIVED or event.attempts != attempt:
        return
    event.state, event.reason, event.finished_at = WebhookEvent.State.IGNORED, Outcome.STALE, timezone.now()
    event.save(update_fields=["state", "reason", "finished_at"])
    if event.event in REOPENING and event.session.is_open:
        _ask(event, BridgeOrder.Why.OVERTAKEN)


def doubt(event: WebhookEvent, *, attempt: int) -> Outcome | None:
    """Why the event is not applied, with the question ordered; None: apply it."""
    if attempt > 1 and _is_overtaken(event):
        _ask(event, BridgeOrder.Why.OVERTAKEN)
        return Outcome.STALE
    if event.event_id is None and event.event in LOSING and _is_repeated(event):
        _ask(event, BridgeOrder.Why.REPEATED)
        return Outcome.REPEATED
    return None


def _is_overtaken(event: WebhookEvent) -> bool:
    if event.event in DEMOTING:
        return event.session.account.status_changed_at > event.received_at
    later = WebhookEvent.objects.filter(session=event.session_id, pk__gt=event.pk, state=WebhookEvent.State.APPLIED)
    return later.filter(event__in=LOSING).exists()


def _is_repeated(event: WebhookEvent) -> bool:
    """Just like one within the last minute, and the account has come back since: sent again, or lost again?"""
    if event.session.account.status not in {Status.AUTHENTICATED, Status.CONNECTED}:
        return False
    lately = event.received_at - timedelta(seconds=REPEATED_WITHIN)
    same = WebhookEvent.objects.filter(session=event.session_id, event=event.event, received_at__gte=lately)
    same = same.filter(state=WebhookEvent.State.APPLIED)
    return any(earlier.payload == event.payload for earlier in same.filter(pk__lt=event.pk)[:50])


def _ask(event: WebhookEvent, why: BridgeOrder.Why) -> None:
    ask(LinkSession.objects.select_for_update().get(pk=event.session_id), why)
