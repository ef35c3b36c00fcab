"""Between its signature and its answer an event is matched, charged, stored and applied.

Two transactions. T1 (`store`) keeps the event with its first try counted; T2 (`process`) applies it under the account's
lock. One transaction would lose the event when a handler dies, and storing a row before locking its parent deadlocks.
"""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.db import locks
from accounts.db.counters import count, count_known
from accounts.db.transactions import atomically
from accounts.models import BridgeOrder, LinkSession
from accounts.orders.outbox import ask, stop_resurrected
from accounts.reconcile import processes
from webhooks import rate_limits
from webhooks.bridge_api.reports import flag_rival
from webhooks.events.handlers import DROPPED, HANDLED, LIFECYCLE, LIVING, MESSAGES, REOPENING
from webhooks.events.messages import comes_from_former_owner
from webhooks.inbox import process, store
from webhooks.inbox.store import REQUEST_LEASE, Delivery
from webhooks.models import UnmatchedTraffic, WebhookEvent

State = WebhookEvent.State
Reason = UnmatchedTraffic.Reason
# Of the three tables what is read here and charged by: to read all columns takes as long as to check the event.
KNOWN = LinkSession.objects.select_related("account__workspace").only(
    "session_id",
    "bridge",
    "ended_at",
    "end_reason",
    "applied_boot",
    *(f"account__workspace__{budget}_per_minute" for budget in ("messages", "lifecycle", "qr", "others")),
)
TAKE_OVER_AFTER = 2  # seconds; after that a resent event is taken over, as its first request may have died


def receive(delivery: Delivery, *, charge: bool = True) -> str:
    """Keep the event, apply it, and say what became of it in one word.

    Raises ApiError and ValidationError when it is refused (429, 400), OperationalError and OSError when it is not kept.
    `charge` takes it from its budget; an event whose first try met a database in trouble is not charged again.
    """
    session = _session_of(delivery)
    unmatched = _why_unmatched(delivery, session)
    if unmatched is not None:
        return _set_aside(delivery, session, unmatched, charge=charge)
    assert session is not None
    if charge:
        rate_limits.charge(session, delivery.event, sender_id=delivery.bridge_id)
    fields = process.fields_of(delivery.event, delivery.data)
    if delivery.event in MESSAGES:
        return _keep_message(delivery, session, fields)
    if delivery.boot not in {"", session.applied_boot}:
        processes.tells_of(session.pk, bridge_id=delivery.bridge_id, boot=delivery.boot)
    event_pk = store.store(delivery, session.pk, fields=fields)
    if event_pk is None:
        _ask_unless_known(delivery)
        return _take_over(delivery, fields=fields)
    return process.apply(event_pk, fields, attempt=1)


def _session_of(delivery: Delivery) -> LinkSession | None:
    try:
        return KNOWN.get(session_id=delivery.session_id)
    except LinkSession.DoesNotExist:
        return None


def _set_aside(
    delivery: Delivery, session: LinkSession | None, reason: UnmatchedTraffic.Reason, *, charge: bool
) -> str:
    """Count an unmatched event. Another bridge's session is answered as unknown, so that it does not show."""
    _count_and_charge(delivery, session, reason, charge=charge)
    if reason == Reason.ENDED:
        _stop_if_it_runs(delivery)
    if reason != Reason.NOT_OWNER or session is None:
        return str(reason)
    flag_rival(delivery.bridge_id, session)
    return str(Reason.UNKNOWN_SESSION)


def _keep_message(delivery: Delivery, session: LinkSession, fields: dict[str, Any]) -> str:
    outcome = MESSAGES[delivery.event].apply(session.pk, fields)
    # The message is kept, and shows that the bridge still runs a session that has ended here. Not so a former owner's
    # message, which may come from its outbox.
    if not session.is_open and session.bridge_id == delivery.bridge_id:
        _stop_if_it_runs(delivery)
    return outcome or "applied"


def _count_and_charge(
    delivery: Delivery, session: LinkSession | None, reason: UnmatchedTraffic.Reason, *, charge: bool
) -> None:
    """Keep one row with a count: a bridge sends QR codes for a logged-out session for ever.

    A row that exists is counted first; a new one is made only within the budget, so that a bridge that makes up
    session ids cannot fill the table.
    """
    key = {"bridge_id": delivery.bridge_id, "session_id": delivery.session_id, "event": delivery.event}
    is_known = count_known(UnmatchedTraffic, **key, reason=reason)
    if charge and session is not None and session.bridge_id == delivery.bridge_id:
        rate_limits.charge(session, delivery.event, sender_id=delivery.bridge_id)
    elif charge:
        rate_limits.charge_stray(delivery.bridge_id)
    if not is_known:
        count(UnmatchedTraffic, **key, reason=reason)


def _why_unmatched(delivery: Delivery, session: LinkSession | None) -> UnmatchedTraffic.Reason | None:
    """Events are matched by session id; what the body says of workspaces is only an echo (rule "Match by session")."""
    if delivery.event in DROPPED:
        return Reason.DROPPED
    if delivery.event not in HANDLED:
        return Reason.UNKNOWN_EVENT
    if session is None:
        return Reason.UNKNOWN_SESSION
    if session.bridge_id != delivery.bridge_id:
        is_kept = delivery.event in MESSAGES and comes_from_former_owner(delivery.bridge_id, session.pk)
        return None if is_kept else Reason.NOT_OWNER
    return Reason.ENDED if _comes_too_late(delivery.event, session) else None


def _comes_too_late(event: str, session: LinkSession) -> bool:
    """Whether the event would change a session that has ended, and does not take its end back (rule "Soft ends")."""
    reopens = session.ended_softly and event in REOPENING
    return event in LIFECYCLE and not session.is_open and not reopens


@atomically
def _stop_if_it_runs(delivery: Delivery) -> None:
    if delivery.event in LIVING:
        stop_resurrected(locks.row(LinkSession, session_id=delivery.session_id))


@atomically
def _ask_unless_known(delivery: Delivery) -> None:
    """Ask the bridge when a request equals another, and no id says that it is the same event: two events of one kind
    may come within a second, and version 1 cannot tell the second from a replay (rule "Ask the bridge")."""
    if not store.is_known_by_id(delivery):
        session = locks.row(LinkSession, session_id=delivery.session_id)
        if session.is_open:
            ask(session, BridgeOrder.Why.REPEATED, anew=True)


def _take_over(delivery: Delivery, *, fields: dict[str, Any]) -> str:
    """The bridge resent the event because its first request got no answer: if that request died, do its work now.

    Waiting for the sweep could cost a scan its 90 s. A request that still works holds the event's row, so that the
    claim in `retry` waits for it and then finds nothing to do.
    """
    untouched = timezone.now() + timedelta(seconds=REQUEST_LEASE - TAKE_OVER_AFTER)
    for pk in store.twins_of(delivery).filter(state=State.RECEIVED, due_at__lt=untouched).values_list("pk", flat=True):
        process.retry(pk, fields=fields)
    return "duplicate"
