"""Rule "The phone decides": the phone that linked decides which account it is.

The caller holds the locks of the workspace and of the accounts. Numbers are compared by their identity key.
"""

from datetime import datetime, timedelta
from enum import Enum, auto

from django.utils import timezone

from accounts import phones
from accounts.lifecycle import PROVEN_AFTER, EndReason, Status
from accounts.models import Account, LinkSession, User
from accounts.numbering_plans import identity_key
from accounts.pairing import phone_keys
from accounts.pairing.session_end import end


class Whose(Enum):
    """Whose number a bridge reports for a session, as its account sees it."""

    THE_ACCOUNTS = auto()  # the expected one, or any where none was expected
    CHANGED = auto()  # a linked phone has another number than before
    ANOTHERS = auto()  # somebody else scanned
    UNREADABLE = auto()  # the bridge tells none, or nothing that can be read
    NOBODYS = auto()  # no country gives out such a number, so it identifies nobody


def phone_of(phone: str, device_jid: str, *, account: Account) -> str:
    """The digits that count: those of the device, where its id is a phone's that exists or is expected, else `phone`.

    WhatsApp itself makes the id of a device; `phone` is what a bridge has read from its page.
    """
    device = phones.reported(device_jid) if "@" in device_jid else ""
    counts = device and (account.is_this_phone(device) or phones.is_assigned(device))
    return device if counts and identity_key(device) != identity_key(phone) else phone


def whose(phone: str, session: LinkSession, *, account: Account, rival: Account | None) -> Whose:
    """`rival` is another live account of the workspace that has this phone, if there is one."""
    if not phone:
        return Whose.UNREADABLE
    if account.is_this_phone(phone):
        return Whose.THE_ACCOUNTS
    if account.is_placeholder and rival is not None:
        return Whose.THE_ACCOUNTS
    if not phones.is_assigned(phone):
        return Whose.NOBODYS
    if account.is_placeholder:
        return Whose.THE_ACCOUNTS
    return Whose.CHANGED if session.ever_linked else Whose.ANOTHERS


def adopt(session: LinkSession, *, account: Account, rival: Account | None, phone: str, trigger: str) -> Account | None:
    """The account that keeps the session, with the phone; None when another session of the phone stays instead.

    `rival` is another live account of the workspace that has this phone, if there is one. A placeholder is merged into
    it; two accounts that staff know by their numbers are marked as twins, and staff decide. `phone` is empty for a link
    that reports a number of nobody's.
    """
    if not phone:
        return account
    if rival is not None and account.is_placeholder:
        stays = _outranks(session, rival.current_session)
        merge(account, session, into=rival, stays=stays, trigger=trigger)
        return rival if stays else None
    if whose(phone, session, account=account, rival=rival) == Whose.CHANGED:
        _learn_number(account, session, phone, trigger=trigger)
    else:
        _take_number(account, phone)
    if rival is not None:
        phone_keys.mark_twins(account, rival, phone=phone, session=session, trigger=trigger)
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


def _learn_number(account: Account, session: LinkSession, phone: str, *, trigger: str) -> None:
    """Note the new number of a linked phone, once; until staff take it over, the account is found by both."""
    account.new_phone, account.new_phone_key = phone, identity_key(phone)
    account.touch("new_phone", "new_phone_key")
    if session.reported_phone != phone:
        session.reported_phone = phone
        session.save(update_fields=["reported_phone"])
        account.note(trigger=trigger, session=session, reason="The phone reports another number than before.")


def _take_number(account: Account, phone: str) -> None:
    """Keep the number as it was reported."""
    if identity_key(phone) == account.new_phone_key:
        return  # staff take it over
    if account.new_phone:  # it reports its former number again
        account.new_phone = account.new_phone_key = ""
        account.touch("new_phone", "new_phone_key")
    if phone != account.phone_number:
        account.phone_number = phone
        account.save(update_fields=["phone_number", "updated_at"])


def merge(
    leaving: Account,
    session: LinkSession | None,
    *,
    into: Account,
    stays: bool,
    trigger: str,
    actor: User | None = None,
) -> None:
    """Move all that hangs off `leaving` to the account that has the phone, and retire it.

    `session` is its open session, if it has one, and `stays` says whether that one becomes the account's; the other
    open session of the two is ended.
    """
    standing = into.current_session
    if session is not None and not stays:
        end(session, EndReason.SUPERSEDED, account=leaving, trigger=trigger, actor=actor)
    elif session is not None and standing is not None and standing.is_open:  # at most one open session per account
        end(standing, EndReason.SUPERSEDED, account=into, trigger=trigger, actor=actor)
    leaving.sessions.update(account=into)  # messages, events and orders hang off the session
    leaving.invitations.update(account=into)
    leaving.notices.hand_over(into, prevail=stays)
    if session is not None:
        session.account = into
    if stays:
        into.current_session = session
    into.first_linked_at = _earlier(into.first_linked_at, leaving.first_linked_at)
    _retire(leaving, into=into, trigger=trigger, actor=actor)
    # Watchers of either page must see a newer version than the one they have.
    into.version = max(into.version, leaving.version)
    into.touch("current_session", "first_linked_at")


def _outranks(session: LinkSession, standing: LinkSession | None) -> bool:
    return standing is None or not standing.is_open or _rank(session) > _rank(standing)


def _earlier(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _rank(session: LinkSession) -> tuple[bool, datetime]:
    """Of two open sessions, the one that was started later stays; but a QR code never beats a scanned session."""
    return session.authenticated_at is not None, session.started_at


def _retire(leaving: Account, *, into: Account, trigger: str, actor: User | None) -> None:
    leaving.current_session = None
    leaving.deleted_at = timezone.now()
    leaving.merged_into = into
    leaving.save(update_fields=["current_session", "deleted_at", "merged_into", "updated_at"])
    if leaving.status == Status.INACTIVE:
        leaving.touch()
    else:
        reason = "Merged: the phone has an account already."
        leaving.move(Status.INACTIVE, trigger=trigger, actor=actor, reason=reason)
