"""The phone that linked is confirmed: whose it is, and what follows (rule "The phone decides").

Who else could be there: a second link of the same phone, an attempt for another account, staff who take a number.
"""

from django.utils import timezone

from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, BridgeOrder, LinkSession, Workspace
from accounts.orders import outbox
from accounts.pairing import phone_owner
from accounts.pairing.bridge_events import Outcome, lock_session, note_seen, still_talks
from accounts.pairing.phone_owner import Whose
from accounts.pairing.session_end import end, may_reopen, reopen

NUMBER_UNCLEAR = "The number that the bridge reports is no phone number of any country."


@atomically
def ready(session_pk: int, *, phone: str, device_jid: str, platform: str, trigger: str = "session_ready") -> Outcome:
    """It is linked. Under the workspace's lock, its phone decides which account it is.

    `phone`: digits, or empty if the bridge's words for it cannot be read.
    """
    workspace_pk = LinkSession.objects.values_list("account__workspace_id", flat=True).get(pk=session_pk)
    locks.row(Workspace, pk=workspace_pk)
    account, rival, session, phone = _lock_with_rival(session_pk, phone, device_jid=device_jid)
    whose = phone_owner.whose(phone, session, account=account, rival=rival)
    if whose == Whose.UNREADABLE:
        return _end_without_number(account, session, trigger=trigger)
    if whose == Whose.ANOTHERS:
        return _refuse_number(account, session, phone, trigger=trigger)
    if whose == Whose.NOBODYS and not session.ever_linked:
        return _wait_for_number(account, session, phone, trigger=trigger)
    if not session.is_open and not _is_reopened(session, account=account, trigger=trigger):
        return still_talks(session)
    if whose == Whose.NOBODYS:
        _ask_about(session, phone)
        phone = ""
    session.mark_scanned()
    keeper = phone_owner.adopt(session, account=account, rival=rival, phone=phone, trigger=trigger)
    if keeper is None:
        return Outcome.APPLIED
    phone_owner.flag_second_device(session, account=keeper, device_jid=device_jid)
    _mark_linked(session, platform=platform)
    return _connect(keeper, session, account=account, trigger=trigger)


@atomically
def phone_unknown(session_pk: int, *, trigger: str = "session_error") -> Outcome:
    account, session = lock_session(session_pk)
    return _end_without_number(account, session, trigger=trigger)


def _is_reopened(session: LinkSession, *, account: Account, trigger: str) -> bool:
    if not may_reopen(session, account=account):
        return False
    reopen(session, account=account, trigger=trigger)
    return True


def _mark_linked(session: LinkSession, *, platform: str) -> None:
    if not session.ever_linked:
        enqueue("advance_line", session.bridge_id)  # its place is free
    session.mark_linked(platform=platform)
    session.number_unclear_at = None
    facts = ("authenticated_at", "connected_at", "platform", "device_jid", "device_conflict_at", "number_unclear_at")
    note_seen(session, "account", *facts, *session.forget_qr())


def _connect(keeper: Account, session: LinkSession, *, account: Account, trigger: str) -> Outcome:
    """`account` had the session before its phone told that it is `keeper`'s."""
    if keeper.status != Status.CONNECTED:
        keeper.move(Status.CONNECTED, trigger=trigger, session=session)
        return Outcome.APPLIED
    if keeper != account:
        keeper.note(trigger=trigger, session=session, reason="Linked anew; this session takes over.")
    keeper.touch()
    return Outcome.NO_CHANGE if keeper == account else Outcome.APPLIED


def _lock_with_rival(
    session_pk: int, phone: str, *, device_jid: str
) -> tuple[Account, Account | None, LinkSession, str]:
    """Lock the account, any other with this phone, by id, and the session. Gives the phone that counts besides.

    The caller holds the workspace's lock, so nobody merges or takes a phone meanwhile.
    """
    own = Account.objects.get(sessions=session_pk)
    phone = phone_owner.phone_of(phone, device_jid, account=own)
    rivals = Account.objects.with_phone(phone).filter(workspace=own.workspace_id).exclude(pk=own.pk)
    rival_pk = rivals.values_list("pk", flat=True).first() if phone else None
    wanted = {own.pk} if rival_pk is None else {own.pk, rival_pk}
    locked = {pk: Account.objects.lock(pk) for pk in sorted(wanted)}
    session = locks.row(LinkSession, pk=session_pk)
    return locked[own.pk], locked[rival_pk] if rival_pk else None, session, phone


def _refuse_number(account: Account, session: LinkSession, phone: str, *, trigger: str) -> Outcome:
    if not session.is_open:
        outbox.stop_resurrected(session, logout=True)
        return Outcome.ENDED
    session.reported_phone = phone
    note_seen(session, "reported_phone")
    end(session, EndReason.WRONG_NUMBER, account=account, trigger=trigger)
    return Outcome.WRONG_NUMBER


def _end_without_number(account: Account, session: LinkSession, *, trigger: str) -> Outcome:
    if not session.is_open:
        return still_talks(session)
    if session.ever_linked or session.waits_for_its_number:
        return Outcome.NO_CHANGE  # we know a number, so it does not matter that a restart could not read it
    end(session, EndReason.PHONE_UNKNOWN, account=account, trigger=trigger)
    return Outcome.APPLIED


def _ask_about(session: LinkSession, phone: str) -> None:
    """Ask the bridge, once, about a number that it reports for a link and that is nobody's. The link goes on."""
    if session.reported_phone != phone:
        session.reported_phone = phone
        session.save(update_fields=["reported_phone"])
        outbox.ask(session, BridgeOrder.Why.NUMBER)


def _wait_for_number(account: Account, session: LinkSession, phone: str, *, trigger: str) -> Outcome:
    """Somebody has scanned, and no country gives out the number that is reported: it proves nothing about whose phone
    it is. The bridge is asked for its list, and the attempt waits for that or for staff (number_decisions.py)."""
    if not session.is_open and not _is_reopened(session, account=account, trigger=trigger):
        return still_talks(session)
    is_news = session.number_unclear_at is None or session.reported_phone != phone
    session.mark_scanned()
    session.number_unclear_at, session.reported_phone = session.number_unclear_at or timezone.now(), phone
    note_seen(session, "authenticated_at", "number_unclear_at", "reported_phone", *session.forget_qr())
    if account.status != Status.AUTHENTICATED:
        account.move(Status.AUTHENTICATED, trigger=trigger, session=session, reason=NUMBER_UNCLEAR)
    elif is_news:
        account.note(trigger=trigger, session=session, reason=NUMBER_UNCLEAR)
        account.touch()
    if is_news:
        enqueue("advance_line", session.bridge_id)  # it needs its place no longer
        outbox.ask(session, BridgeOrder.Why.NUMBER)
    return Outcome.NUMBER_UNCLEAR
