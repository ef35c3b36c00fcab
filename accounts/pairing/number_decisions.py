"""What staff decide about numbers: a number that nobody knows, one that has changed, two accounts of one phone.

None of them unlinks a phone, but for the second device of a phone that was linked twice.
"""

from django.utils.translation import gettext as _

from accounts import phones
from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.lifecycle import PAIRING, Status
from accounts.models import Account, BridgeOrder, LinkSession, User, Workspace
from accounts.numbering_plans import identity_key
from accounts.orders import outbox
from accounts.pairing import confirmation, phone_owner


class DecisionRefused(Exception):
    """It cannot be done now. The text says why, for people."""


@atomically
def accept_number(account_id: int, *, actor: User) -> None:
    """Take the unclear number that the bridge reports as the account's: it is linked. Raises DecisionRefused."""
    account = _lock(account_id)
    session = account.current_session
    if session is None or not session.waits_for_its_number:
        raise DecisionRefused(_("No number waits to be accepted any more."))
    if not session.reported_phone:
        raise DecisionRefused(_("The bridge has not told any number yet."))
    _take(account, session.reported_phone)
    account.note(trigger="number_accepted", session=session, actor=actor)
    if account.status == Status.DISCONNECTED:
        _count_as_linked(session)
        return
    confirmation.ready(session.pk, phone=session.reported_phone, device_jid="", platform="", trigger="number_accepted")


@atomically
def take_new_number(account_id: int, *, actor: User) -> None:
    """Make the number that the linked phone reports the account's own. Raises DecisionRefused."""
    account = _lock(account_id)
    if not account.new_phone:
        raise DecisionRefused(_("The phone reports the number that stands here."))
    _take(account, account.new_phone)
    account.note(trigger="number_taken", session=account.current_session, actor=actor)


@atomically
def merge_twin(account_id: int, *, actor: User) -> Account:
    """Move an account's sessions to the other account of its phone, which lives on. Raises DecisionRefused.

    Of two open links the connected one stays, else the later one; the other is unlinked.
    """
    twin, other = _lock_twins(account_id)
    sessions = [account.current_session for account in (twin, other)]
    session, standing = (each if each is not None and each.is_open else None for each in sessions)
    if {twin.status, other.status} & PAIRING:
        raise DecisionRefused(_("An attempt to link is under way. Wait until it ends, or reset that account."))
    stays = _stays(twin, session, other, standing)
    status = Status(twin.status)
    phone_owner.merge(twin, session, into=other, stays=stays, trigger="twins_merged", actor=actor)
    if stays and other.status != status:
        other.move(status, trigger="twins_merged", session=session, actor=actor)
    else:
        other.note(trigger="twins_merged", session=standing, actor=actor)
    return other


def _count_as_linked(session: LinkSession) -> None:
    """It was connected and is lost now: recovery brings it back (rule "Recovery")."""
    session.connected_at, session.number_unclear_at = session.number_unclear_at, None
    session.save(update_fields=["connected_at", "number_unclear_at"])
    outbox.ask(session, BridgeOrder.Why.RECOVERY)


def _stays(twin: Account, session: LinkSession | None, other: Account, standing: LinkSession | None) -> bool:
    if session is None or standing is None:
        return session is not None
    mine, theirs = twin.status == Status.CONNECTED, other.status == Status.CONNECTED
    return (mine, session.started_at) > (theirs, standing.started_at)


def _take(account: Account, phone: str) -> None:
    others = Account.objects.with_phone(phone).filter(workspace=account.workspace_id).exclude(pk=account.pk)
    holder = others.filter(phone_key=identity_key(phone)).first()
    if holder is not None:
        text = _("%(account)s has the number %(phone)s already. Merge the two, or reset one of them first.")
        raise DecisionRefused(text % {"account": holder, "phone": phones.group(phone)})
    account.phone_number, account.new_phone, account.new_phone_key = phone, "", ""
    account.touch("phone_number", "new_phone", "new_phone_key")


def _lock(account_id: int) -> Account:
    workspace_id = Account.objects.values_list("workspace_id", flat=True).get(pk=account_id)
    locks.row(Workspace, pk=workspace_id)
    return Account.objects.lock(account_id)


def _lock_twins(account_id: int) -> tuple[Account, Account]:
    found = Account.objects.live().filter(pk=account_id, twin_of__deleted_at=None).exclude(twin_of=None).first()
    if found is None or found.twin_of_id is None:
        raise DecisionRefused(_("The account has no twin any more."))
    locks.row(Workspace, pk=found.workspace_id)
    locked = {pk: Account.objects.lock(pk) for pk in sorted((found.pk, found.twin_of_id))}
    twin = locked[found.pk]
    other = locked[found.twin_of_id]
    if twin.twin_of_id != other.pk or other.deleted_at is not None or other.phone_key not in twin.known_keys():
        raise DecisionRefused(_("The account has no twin any more."))
    return twin, other
