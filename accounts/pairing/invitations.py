"""Inviting somebody to link: the account, made or found, and a page for it."""

from accounts import phones
from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.models import Account, LinkInvitation, User, Workspace


@atomically
def invite(workspace_id: int, *, label: str = "", phone: str | None = None, created_by: User | None = None) -> str:
    """The URL of a linking page, for the live account with this phone, else with this label, else a new one.

    Raises Workspace.DoesNotExist, and ValidationError if `phone` is not a phone number.
    """
    # Under the lock, a twin finds the account that we make instead of making a second one.
    workspace = locks.row(Workspace, pk=workspace_id)
    digits = phones.normalise(phone, country=workspace.country) if phone else None
    account = _find(workspace, label=label, phone=digits)
    if account is None:
        account = Account.objects.create(workspace=workspace, label=label, phone_number=digits)
    return LinkInvitation.issue(account, created_by=created_by)


def _find(workspace: Workspace, *, label: str, phone: str | None) -> Account | None:
    if phone:
        return workspace.accounts.with_phone(phone).first()
    return workspace.accounts.live().filter(label=label).first() if label else None
