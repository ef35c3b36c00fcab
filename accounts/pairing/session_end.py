"""How a link session ends, and how a soft end is taken back (rule "Soft ends"). The caller holds the account's lock."""

from django.utils import timezone

from accounts.jobs.queue import enqueue
from accounts.lifecycle import (
    SCANNABLE_ENDS,
    SOFT_STOP_AFTER,
    STATUS_AFTER,
    UNLINKING_ENDS,
    EndCause,
    EndReason,
    Status,
)
from accounts.models import Account, LinkSession, User
from accounts.orders import outbox


def end(
    session: LinkSession,
    why: EndReason,
    *,
    account: Account,
    trigger: str,
    actor: User | None = None,
    cause: EndCause | None = None,
    detail: str = "",
    reason: str = "",
) -> None:
    """End an open session and order its stop; the account's status follows if this is its current session.

    `cause` is for code that needs to know more than `why` tells. `detail` is what the bridge said; `reason` is the text
    for the history, if it is more than these two.
    """
    session.ended_at, session.end_reason, session.end_detail = timezone.now(), why, detail[:191]
    session.end_cause = cause or ""
    session.save(update_fields=["ended_at", "end_reason", "end_cause", "end_detail", *session.forget_qr()])
    if session.admitted_at is not None:  # else nothing was ever ordered
        delay = SOFT_STOP_AFTER if why in SCANNABLE_ENDS else 0
        outbox.order(session, outbox.Kind.STOP, delay=delay, logout=why in UNLINKING_ENDS)
    if not session.ever_linked:
        enqueue("advance_line", session.bridge_id)  # it had a place there
    if why in STATUS_AFTER and account.current_session_id == session.pk:
        account.move(
            STATUS_AFTER[why],
            trigger=trigger,
            session=session,
            actor=actor,
            reason=reason or (f"{why}: {session.end_detail}" if detail else why),
        )


def may_reopen(session: LinkSession, *, account: Account) -> bool:
    """Whether a scan may take a soft end back: unless a later attempt was scanned too, or the account was reset."""
    if not session.ended_softly or account.deleted_at is not None:
        return False
    if account.reset_at is not None and session.started_at <= account.reset_at:
        return False
    current = account.current_session
    if current is not None and current.is_open and current.authenticated_at is not None:
        return False  # after a merge the current session may be the older one
    later = account.sessions.filter(started_at__gt=session.started_at, authenticated_at__isnull=False)
    return not later.exists()


def reopen(session: LinkSession, *, account: Account, trigger: str) -> None:
    """Take a soft end back, as the scan was already under way. A newer attempt is ended."""
    newer = account.current_session
    if newer is not None and newer.is_open:
        end(newer, EndReason.SUPERSEDED, account=account, trigger=trigger)
    session.ended_at, session.end_reason, session.end_cause, session.end_detail = None, "", "", ""
    session.save(update_fields=["ended_at", "end_reason", "end_cause", "end_detail"])
    account.current_session = session
    account.touch("current_session")
    if Status(account.status) == Status.QR_SCANNING:
        account.note(trigger=trigger, session=session, reason="An earlier QR code was scanned after all.")
    if not outbox.cancel_stop(session):
        outbox.order(session, outbox.Kind.START)  # the same id logs in silently
