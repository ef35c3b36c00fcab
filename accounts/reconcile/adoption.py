"""Staff adopt an unknown session: it becomes the link of the account that has its phone, or of a new one.

Who else could be there: the next list, a second member of staff, another bridge that runs the session too.
"""

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.bridges.client import ListedAs
from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.lifecycle import Status
from accounts.models import Account, BridgeOrder, LinkSession, StraySession, User, Workspace
from accounts.orders import outbox
from accounts.pairing import bridge_events, confirmation
from accounts.reconcile import unknown
from accounts.reconcile.unknown import NotPossible

Outcome = StraySession.Outcome
ADOPTABLE = (ListedAs.CONNECTED, ListedAs.DISCONNECTED)


@atomically
def adopt(stray_id: int, *, workspace_id: int, actor: User) -> LinkSession:
    """Make it a session of the account that has its phone, or of a new one.

    The bridge names the phone, and so the account; staff choose the workspace. Raises NotPossible, and
    StraySession.DoesNotExist.
    """
    workspace = locks.row(Workspace, pk=workspace_id)
    stray = locks.row(StraySession, pk=stray_id)
    _check(stray, workspace)
    account = _account_for(stray, workspace)
    session = _session_for(stray, account, actor=actor)
    account.current_session = session
    account.first_linked_at = account.first_linked_at or session.connected_at  # also where it is down at the moment
    account.touch("current_session", "first_linked_at")
    reason = f"Adopted: bridge {stray.bridge} runs it, and nobody here knew it."
    account.note(trigger="adopted", session=session, actor=actor, reason=reason)
    StraySession.objects.filter(pk=stray.pk).update(outcome=Outcome.ADOPTED, settled_at=timezone.now())
    if stray.status == ListedAs.CONNECTED:
        confirmation.ready(session.pk, phone=stray.phone_number, device_jid="", platform="", trigger="adopted")
    else:
        account.move(Status.AUTHENTICATED, trigger="adopted", session=session, actor=actor)
        bridge_events.lose(account, session, trigger="adopted", reason="The bridge lists it as not connected.")
        outbox.ask(session, BridgeOrder.Why.STAFF)
    return session


def adopt_many(ids: Iterable[int], *, workspace_id: int, actor: User) -> dict[int, str]:
    """Adopt each. Gives by id why one was not adopted; empty: it was."""
    return {stray_id: _adopt_safely(stray_id, workspace_id=workspace_id, actor=actor) for stray_id in ids}


def _check(stray: StraySession, workspace: Workspace) -> None:
    unknown.check_orderable(stray)
    if stray.status not in ADOPTABLE:
        raise NotPossible(_("It is no link: the bridge lists it as “%s”.") % (stray.status or "?"))
    if not stray.phone_number:
        raise NotPossible(_("The bridge does not say its phone number. Without it nobody knows whose link it is."))
    if not stray.bridge.serves(workspace.pk):
        raise NotPossible(_("Its bridge does not serve this workspace."))
    if LinkSession.objects.filter(session_id=stray.session_id).exists():
        raise NotPossible(_("This session is known here already."))


def _account_for(stray: StraySession, workspace: Workspace) -> Account:
    """The account for it. The caller holds the workspace's lock, so nobody else takes the phone meanwhile."""
    account_id = workspace.accounts.with_phone(stray.phone_number).values_list("pk", flat=True).first()
    if account_id is None:
        return Account.objects.create(workspace=workspace, phone_number=stray.phone_number)
    account = Account.objects.lock(account_id)
    if account.current_session is not None and account.current_session.is_open:
        text = _("The account of this phone has an open session, %s. Reset the account first, or stop this one.")
        raise NotPossible(text % account.current_session.session_id)
    return account


def _session_for(stray: StraySession, account: Account, *, actor: User) -> LinkSession:
    since = stray.first_seen_at  # a link that runs is long past its quiet time
    try:
        with transaction.atomic():
            return LinkSession.objects.create(
                session_id=stray.session_id,
                account=account,
                bridge=stray.bridge,
                started_by=actor,
                started_at=since,
                authenticated_at=since,
                connected_at=since,
            )
    except IntegrityError as error:  # adopted meanwhile where another bridge runs it too
        raise NotPossible(_("This session is known here already.")) from error


def _adopt_safely(stray_id: int, *, workspace_id: int, actor: User) -> str:
    try:
        adopt(stray_id, workspace_id=workspace_id, actor=actor)
    except NotPossible as error:
        return str(error)
    except StraySession.DoesNotExist:
        return _("It is not there any more.")
    return ""
