"""When an event and the record disagree and either may be newer, the bridge is asked (rule "Ask the bridge")."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.lifecycle import Status
from accounts.models import BridgeOrder, LinkSession
from accounts.orders.outbox import ask
from accounts.pairing.bridge_events import Outcome
from accounts.reconcile import processes
from webhooks.events.handlers import DEMOTING, LOSING, REOPENING
from webhooks.models import WebhookEvent

REPEATED_WITHIN = 60  # seconds


class Overtaken(Exception):
    """A later event of the session is applied already; raised to take back what the older one did."""


def advance(event: WebhookEvent) -> None:
    """Note the event as the session's newest. This runs after the handler, which holds the account's lock: before it,
    a later event could still be under way in another process."""
    if not event.boot or event.sequence is None:
        return
    mine = LinkSession.objects.filter(pk=event.session_id)
    newest = {"applied_boot": event.boot, "applied_sequence": event.sequence}
    not_older = Q(applied_sequence__isnull=True) | Q(applied_sequence__lte=event.sequence)
    if mine.filter(not_older, applied_boot__in=["", event.boot]).update(**newest):
        return
    applied = mine.values_list("applied_boot", flat=True).get()
    if applied == event.boot or _is_of_an_earlier_run(event, applied):
        raise Overtaken
    mine.update(**newest)


def _is_of_an_earlier_run(event: WebhookEvent, applied: str) -> bool:
    """Whether `applied` is a later process of the bridge: the event waited in the outbox, or was a dead letter there.

    It is true only when that is known: otherwise the record may as well hold the older process.
    """
    bridge_id, boot = event.bridge_id, event.boot
    talked_before = processes.told_before(event.session_id, bridge_id=bridge_id, boot=boot, other=applied)
    return talked_before or processes.was_replaced(bridge_id, boot, by=applied)


@atomically
def set_aside(event_pk: int, *, attempt: int) -> None:
    """Mark the event stale. The bridge is asked about an overtaken scan, which may be linked all the same, and about
    a loss that another process sent, whose sequence numbers cannot be compared with this one's."""
    event = locks.row(WebhookEvent, pk=event_pk)
    if event.state != WebhookEvent.State.RECEIVED or event.attempts != attempt:
        return
    event.state, event.reason, event.finished_at = WebhookEvent.State.IGNORED, Outcome.STALE, timezone.now()
    event.save(update_fields=["state", "reason", "finished_at"])
    of_another_run = event.event in LOSING and event.boot != event.session.applied_boot
    if event.session.is_open and (event.event in REOPENING or of_another_run):
        _ask(event, BridgeOrder.Why.OVERTAKEN)


def doubt(event: WebhookEvent, *, attempt: int) -> Outcome | None:
    """Return why the event is not applied, after ordering a check; None means that it is applied."""
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
    # An ignored loss counts too: it changed nothing only because this event had failed and the account was still lost.
    done = [WebhookEvent.State.APPLIED, WebhookEvent.State.IGNORED]
    later = WebhookEvent.objects.filter(session=event.session_id, pk__gt=event.pk, state__in=done)
    return later.filter(event__in=LOSING).exists()


def verify(event: WebhookEvent) -> None:
    """Ask the bridge when a lost link came back by an event that equals one of the last minute: it may be a repetition.
    The event is applied all the same. This runs after the handler, which holds all locks."""
    if event.event in REOPENING and event.event_id is None and _is_told_again(event):
        _ask(event, BridgeOrder.Why.REPEATED)


def _is_repeated(event: WebhookEvent) -> bool:
    """Whether a loss equals one of the last minute and the account has come back since: it may be a repetition."""
    return event.session.account.status in {Status.AUTHENTICATED, Status.CONNECTED} and _is_told_again(event)


def _is_told_again(event: WebhookEvent) -> bool:
    lately = event.received_at - timedelta(seconds=REPEATED_WITHIN)
    same = WebhookEvent.objects.filter(session=event.session_id, event=event.event, received_at__gte=lately)
    same = same.filter(state=WebhookEvent.State.APPLIED)
    return any(earlier.payload == event.payload for earlier in same.filter(pk__lt=event.pk)[:50])


def _ask(event: WebhookEvent, why: BridgeOrder.Why) -> None:
    ask(locks.row(LinkSession, pk=event.session_id), why)
