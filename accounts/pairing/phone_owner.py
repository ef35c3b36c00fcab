"""Rule "The phone decides": the phone that linked decides which account it is.

The caller holds the locks of the workspace and of the accounts.
"""

from datetime import datetime, timedelta

from django.utils import timezone

from accounts.lifecycle import PROVEN_AFTER, EndReason, Status
from accounts.models import Account, LinkSession
from accounts.pairing.session_end import end


def is_wrong_number(session: LinkSession, *, account: Account, phone: str) -> bool:
    """Whether a session that was never linked has another phone than its account; on a link it is a number change."""
    return account.phone_number not in {None, phone} and not session.ever_linked


def adopt(session: LinkSession, *, account: Account, rival: Account | None, phone: str, trigger: str) -> Account | None:
    """The account that keeps the session, with the phone; None when another session of the phone stays instead.

    `rival` is the other live account of the workspace that has this phone, if there is one. Then `account` never
    had a phone: it is a placeholder, and is merged.
    """
    if account.phone_number not in {None, phone}:
        session.reported_phone = phone
        session.save(update_fields=["reported_phone"])
        account.note(trigger=trigger, session=session, reason="The phone reports another number than before.")
        return account
    if rival is not None:
        return _merge(account, session, into=rival, trigger=trigger)
    account.phone_number = phone
    account.save(update_fields=["phone_number", "updated_at"])
    return account


def flag_second_device(session: LinkSession, *, account: Account, device_jid: str) -> None:
    """Note a second device id for one phone within the time of proof: two clients fight over it (rule "Proven")."""
    if not device_jid or device_jid == session.device_jid:
        return
    lately = timezone.now() - timedelta(seconds=PROVEN_AFTER)
    others = account.sessions.filter(connected_at__gt=lately).exclude(device_jid__in=["", device_jid])
    if others.exists():
        session.device_conflict_at = timezone.now()
        account.note(trigger="device_conflict", session=session, reason="A second device for this phone.")
    session.device_jid = device_jid


def _merge(placeholder: Account, session: LinkSession, *, into: Account, trigger: str) -> Account | None:
    """Move the session, with its rows, to the account that has the phone, and retire the placeholder."""
    standing = into.current_session
    standing = standing if standing is not None and standing.is_open else None
    stays = standing is None or _rank(session) > _rank(standing)
    if not stays:
        end(session, EndReason.SUPERSEDED, account=placeholder, trigger=trigger)
    elif standing is not None:  # first, as an account has at most one open session
        end(standing, EndReason.SUPERSEDED, account=into, trigger=trigger)
    placeholder.sessions.update(account=into)  # messages, events and orders hang off the session
    session.account = into
    if stays:
        into.current_session = session
    placeholder.invitations.update(account=into)
    into.first_linked_at = _earlier(into.first_linked_at, placeholder.first_linked_at)
    _retire(placeholder, into=into, trigger=trigger)
    # Watchers of either page must see a newer version than the one they have.
    into.version = max(into.version, placeholder.version)
    into.touch("current_session", "first_linked_at")
    return into if stays else None


def _earlier(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _rank(session: LinkSession) -> tuple[bool, datetime]:
    """Of two open sessions, the one that was started later stays; but a QR code never beats a scanned session."""
    return session.authenticated_at is not None, session.started_at


def _retire(placeholder: Account, *, into: Account, trigger: str) -> None:
    placeholder.current_session = None
    placeholder.deleted_at = timezone.now()
    placeholder.merged_into = into
    placeholder.save(update_fields=["current_session", "deleted_at", "merged_into", "updated_at"])
    if placeholder.status == Status.INACTIVE:
        placeholder.touch()
    else:
        placeholder.move(Status.INACTIVE, trigger=trigger, reason="Merged: the phone has an account already.")
