"""Applies what bridges tell us about a session.

Each function takes the session's primary key, does its work in one transaction under the account's lock, and gives
an Outcome: applied, or the reason why nothing changed. Who else could be there: other events of the session in any
order and twice, deadlines, staff, and the page's own "New QR code".
"""

from datetime import timedelta
from enum import StrEnum

from django.utils import timezone

from accounts import failures
from accounts.bridges import incidents
from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.lifecycle import (
    ACTION_WITHIN,
    PAIRING,
    READY_WITHIN,
    RECOVER_AFTER,
    SCAN_WITHIN,
    UNSCANNED,
    EndReason,
    Status,
)
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.orders import closing, outbox
from accounts.pairing import phone_owner
from accounts.pairing.attempts import lapse
from accounts.pairing.session_end import end, may_reopen, reopen
from accounts.qr import Qr

LATE_QR = 60  # seconds after the scan


class Outcome(StrEnum):
    APPLIED = ""
    ENDED = "ended"
    QR_AFTER_SCAN = "qr_after_scan"
    NO_CHANGE = "no_change"
    WRONG_NUMBER = "wrong_number"
    STALE = "stale"
    REPEATED = "repeated"
    UNREADABLE = "unreadable"
    LEFT_OUT = "left_out"
    NUMBER_UNCLEAR = "number_unclear"


@atomically
def qr_shown(session_pk: int, *, qr: Qr, expires_in: int) -> Outcome:
    """A fresh code came. It never demotes an account that was scanned (rule "A code demotes nobody")."""
    account, session = lock_session(session_pk)
    if not session.is_open or lapse(account, session):
        return still_talks(session)
    if _is_scanned(account, session):
        return _doubt_late_qr(account, session)
    now = timezone.now()
    if session.first_qr_at is None:
        session.first_qr_at = now
        enqueue("expire_session", session.pk, delay=SCAN_WITHIN + 1)
    session.qr_svg, session.qr_png = qr.svg, qr.png
    session.qr_expires_at = now + timedelta(seconds=expires_in)
    session.qr_count += 1
    note_seen(session, "first_qr_at", "qr_svg", "qr_png", "qr_expires_at", "qr_count")
    if account.status == Status.ACTION_REQUIRED:
        account.move(Status.QR_SCANNING, trigger="qr_code_generated", session=session)
    else:
        account.touch()
    return Outcome.APPLIED


@atomically
def pairing_code_shown(session_pk: int, *, code: str, expires_in: int) -> Outcome:
    account, session = lock_session(session_pk)
    if not session.is_open or lapse(account, session):
        return still_talks(session)
    if account.status not in UNSCANNED:
        return Outcome.QR_AFTER_SCAN
    session.pairing_code = code
    session.pairing_code_expires_at = timezone.now() + timedelta(seconds=expires_in)
    note_seen(session, "pairing_code", "pairing_code_expires_at")
    account.touch()
    return Outcome.APPLIED


@atomically
def code_unreadable(session_pk: int) -> Outcome:
    """A QR or pairing code came that cannot be shown. The session counts it, for staff; the next one may be better."""
    account, session = lock_session(session_pk)
    if not session.is_open or lapse(account, session):
        return still_talks(session)
    if _is_scanned(account, session):
        return _doubt_late_qr(account, session)
    session.unreadable_codes += 1
    note_seen(session, "unreadable_codes")
    return Outcome.UNREADABLE


@atomically
def authenticated(session_pk: int, *, device_jid: str, trigger: str = "session_authenticated") -> Outcome:
    """The phone has scanned, but the link is not ready yet. A bridge also says this at each restart with a login."""
    account, session = lock_session(session_pk)
    if not session.is_open:
        # Already authenticated before it ended, so this proves nothing: only `ready` reopens it.
        if session.authenticated_at is not None or not may_reopen(session, account=account):
            return still_talks(session)
        reopen(session, account=account, trigger=trigger)
    phone_owner.flag_second_device(session, account=account, device_jid=device_jid)
    session.mark_scanned()
    note_seen(session, "authenticated_at", "device_jid", "device_conflict_at", *session.forget_qr())
    # A link that was connected before stays disconnected until it is ready.
    if session.ever_linked or account.status == Status.AUTHENTICATED:
        return Outcome.NO_CHANGE
    account.move(Status.AUTHENTICATED, trigger=trigger, session=session)
    enqueue("expire_session", session.pk, delay=READY_WITHIN + 1)
    return Outcome.APPLIED


@atomically
def disconnected(session_pk: int, *, reason: str) -> Outcome:
    """The link is lost and expected back, unless the reason says that it is over (rule "Recovery")."""
    account, session = lock_session(session_pk)
    return _lose_or_end(account, session, trigger="session_disconnected", reason=reason)


@atomically
def restore_failed(session_pk: int, *, reason: str) -> Outcome:
    """The bridge could not start it again after its own restart. `reason` is its error text, or WhatsApp's word."""
    account, session = lock_session(session_pk)
    return _lose_or_end(account, session, trigger="mark_disconnected", reason=reason)


@atomically
def given_up(session_pk: int, *, reason: str) -> Outcome:
    """session_expired: the bridge will not try any further."""
    account, session = lock_session(session_pk)
    if not session.is_open:
        return Outcome.ENDED
    unscanned = account.status in UNSCANNED
    why = _end_for(session, reason) or (EndReason.QR_EXPIRED if unscanned else EndReason.GIVEN_UP)
    end(session, why, account=account, trigger="session_expired", detail=reason)
    return Outcome.APPLIED


@atomically
def action_required(session_pk: int, *, message: str) -> Outcome:
    account, session = lock_session(session_pk)
    if not session.is_open:
        return still_talks(session)
    if account.status not in {Status.QR_SCANNING, Status.AUTHENTICATED}:
        return Outcome.NO_CHANGE
    session.action_message = message[:500]
    note_seen(session, "action_message", *session.forget_qr())
    account.move(Status.ACTION_REQUIRED, trigger="session_action_required", session=session)
    enqueue("expire_session", session.pk, delay=ACTION_WITHIN + 1)
    return Outcome.APPLIED


def lock_session(session_pk: int) -> tuple[Account, LinkSession]:
    """Lock the account, then its session. If a merge moves the session in between, try again."""
    while True:
        account_pk = LinkSession.objects.values_list("account_id", flat=True).get(pk=session_pk)
        account = Account.objects.lock(account_pk)
        session = locks.row(LinkSession, pk=session_pk)
        if session.account_id == account_pk:
            return account, session


def lose(account: Account, session: LinkSession, *, trigger: str, reason: str, said: str = "") -> Outcome:
    """Mark the link as lost. `reason` is for people; `said` is the bridge's own reason, if it gave one."""
    if account.status in UNSCANNED or account.status == Status.DISCONNECTED:
        return Outcome.NO_CHANGE  # a pairing goes on with the codes of the next client, or lapses
    if account.status in PAIRING:
        enqueue("advance_line", session.bridge_id)  # its place is free
    account.move(Status.DISCONNECTED, trigger=trigger, session=session, reason=reason, said=said)
    enqueue("recover_bridge", session.bridge_id, delay=RECOVER_AFTER + 1)
    return Outcome.APPLIED


def _lose_or_end(account: Account, session: LinkSession, *, trigger: str, reason: str) -> Outcome:
    if not session.is_open:
        return Outcome.ENDED
    why = _end_for(session, reason)
    if why is None:
        return lose(account, session, trigger=trigger, reason=reason, said=reason)
    end(session, why, account=account, trigger=trigger, detail=reason)
    return Outcome.APPLIED


def _end_for(session: LinkSession, reason: str) -> EndReason | None:
    """How the session ends for the reason that its bridge gives; None: that reason ends nothing."""
    told = failures.of(reason)
    why = told.ends or (None if session.ever_linked else told.ends_attempt)
    return EndReason.DEVICE_REMOVED if why == EndReason.LOGGED_OUT and _is_unproven(session) else why


def still_talks(session: LinkSession) -> Outcome:
    """Stop a session that has ended here but sends events, so that it still runs (rule "Match by session")."""
    outbox.stop_resurrected(session)
    return Outcome.ENDED


def _is_scanned(account: Account, session: LinkSession) -> bool:
    """The second condition is for a phone that asks for more after its scan (action_required)."""
    return account.status not in UNSCANNED or session.authenticated_at is not None


def _doubt_late_qr(account: Account, session: LinkSession) -> Outcome:
    """A code that comes after the scan: at first it is only late, but from a minute on the login may be gone, so the
    bridge is asked (rule "Ask the bridge")."""
    scanned_before = timezone.now() - timedelta(seconds=LATE_QR)
    if session.authenticated_at is None or session.authenticated_at > scanned_before:
        return Outcome.QR_AFTER_SCAN
    known = account.status == Status.DISCONNECTED and incidents.Kind.NO_LOGINS in incidents.open_of(session.bridge_id)
    if not known:  # if it is known, codes keep coming, and the next list is soon enough
        outbox.ask(session, BridgeOrder.Why.LATE_QR)
    return Outcome.QR_AFTER_SCAN


def _is_unproven(session: LinkSession) -> bool:
    """A link that was thrown out within two minutes after its scan was no success (rule "Proven")."""
    return session.authenticated_at is not None and not session.is_proven


def note_seen(session: LinkSession, *fields: str) -> None:
    session.last_seen_at = timezone.now()
    session.save(update_fields=["last_seen_at", *fields])
    closing.confirm_start(session)
