"""Identity keys of accounts: which account holds a number, which are twins, and computing the keys anew.

At most one live account of a workspace holds a number; the database enforces it. An account whose phone turns out to
have the number of another is that one's twin: both go on working until staff decide.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.lifecycle import Status
from accounts.models import Account, LinkSession, StraySession, Workspace
from accounts.numbering_plans import identity_key

TWINS = "Another account of this workspace has the same phone. Staff decide which of them stays."


@dataclass(frozen=True)
class Change:
    """What has changed of an account: its key, that of its new number, or whose twin it is."""

    account: int
    twin_of: int | None


def mark_twins(account: Account, other: Account, *, phone: str, session: LinkSession, trigger: str) -> None:
    """Mark, once, that this phone has linked both. The one that has changed to the number is the twin of the one that
    holds it. The caller holds the locks of both."""
    if account.twin_of_id == other.pk or other.twin_of_id == account.pk:
        return
    holds = account.phone_key == identity_key(phone)
    twin, holder = (other, account) if holds else (account, other)
    twin.twin_of = holder
    twin.touch("twin_of")
    for each in (account, other):
        each.note(trigger=trigger, session=session if each is account else None, reason=TWINS)


def compute_anew() -> list[Change]:
    """Compute every key by the table of today, one workspace after the other. Gives what has changed."""
    for number in set(StraySession.objects.exclude(phone_number="").values_list("phone_number", flat=True)):
        StraySession.objects.filter(phone_number=number).update(phone_key=identity_key(number))
    workspaces = list(Workspace.objects.order_by("pk").values_list("pk", flat=True))
    return [change for pk in workspaces for change in _compute_workspace(pk)]


@atomically
def _compute_workspace(pk: int) -> list[Change]:
    """Under the workspace's lock nobody links, merges or takes a number."""
    locks.row(Workspace, pk=pk)
    accounts = list(Account.objects.filter(workspace=pk, phone_number__isnull=False).order_by("pk"))
    changes = []
    for account, twin_of in _with_holders(accounts):
        before = (account.phone_key, account.new_phone_key, account.twin_of_id)
        key, new_key = identity_key(account.phone_number or ""), identity_key(account.new_phone)
        if before != (key, new_key, twin_of):
            Account.objects.filter(pk=account.pk).update(phone_key=key, new_phone_key=new_key, twin_of=twin_of)
            changes.append(Change(account.pk, twin_of))
    return changes


def _with_holders(accounts: list[Account]) -> Iterator[tuple[Account, int | None]]:
    """Each account and whose twin it is. Twins come before those that hold their number, so that a number is given up
    before it is taken."""
    live = [account for account in accounts if account.deleted_at is None]
    holders = {key: min(group, key=_rank).pk for key, group in groupby(sorted(live, key=_key), key=_key)}
    for account in sorted(live, key=lambda account: holders[_key(account)] == account.pk):
        yield account, _twin_of(account, holders)
    yield from ((account, None) for account in accounts if account.deleted_at is not None)


def _twin_of(account: Account, holders: dict[str, int]) -> int | None:
    holder = holders[_key(account)]
    if holder != account.pk:
        return holder
    return holders.get(identity_key(account.new_phone)) if account.new_phone else None


def _key(account: Account) -> str:
    return identity_key(account.phone_number or "")


def _rank(account: Account) -> tuple[bool, int, int]:
    """The account that holds the number of twins keeps it; else connected before authenticated before the newest."""
    linked = {Status.CONNECTED: 0, Status.AUTHENTICATED: 1}.get(Status(account.status), 2)
    return account.twin_of_id is not None, linked, -account.pk
