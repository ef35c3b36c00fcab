"""Identity keys of accounts: which account holds one, which are twins, and computing them anew.

At most one live account of a workspace holds a key; the database enforces it. Two accounts that turn out to have one
phone are twins: both go on working until staff decide.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.lifecycle import Status
from accounts.models import Account, LinkSession, Workspace
from accounts.numbering_plans import identity_key


@dataclass(frozen=True)
class Change:
    """An account whose key is another one now. `twin_of`: the account that holds it, where it is not this one."""

    account: int
    was: str | None
    key: str | None
    twin_of: int | None


def mark_twins(account: Account, other: Account, *, session: LinkSession, trigger: str) -> None:
    """Mark, once, that a phone linked `account` which `other` has too. The caller holds the locks of both."""
    if account.twin_of_id == other.pk or other.twin_of_id == account.pk:
        return
    twin, first = (other, account) if account.new_phone else (account, other)
    twin.twin_of = first
    twin.touch("twin_of")
    for each in (account, other):
        each.note(trigger=trigger, session=session if each is account else None, reason=TWINS)


TWINS = "Another account of this workspace has the same phone. Staff decide which of them stays."


def hand_over(leaving: Account, *, to: Account | None = None) -> None:
    """Give the key of an account that was deleted to the first of its twins; the others become twins of that one.

    `to` has the key already. The caller holds the workspace's lock, or nobody links the account any more.
    """
    twins = leaving.twins.live()
    if to is not None:
        twins = twins.exclude(pk=to.pk)
    heir = to or twins.order_by("pk").first()
    if heir is None:
        return
    twins.exclude(pk=heir.pk).update(twin_of=heir)
    if heir.twin_of_id == leaving.pk and heir.phone_number:
        heir.twin_of, heir.phone_key = None, identity_key(heir.phone_number)
        Account.objects.filter(pk=heir.pk).update(twin_of=None, phone_key=heir.phone_key)


def compute_anew() -> list[Change]:
    """Compute every key by the table of today, one workspace after the other. Gives what has changed."""
    workspaces = Workspace.objects.order_by("pk").values_list("pk", flat=True)
    return [change for pk in list(workspaces) for change in _compute_workspace(pk)]


@atomically
def _compute_workspace(pk: int) -> list[Change]:
    """Under the workspace's lock nobody links, merges or takes a number."""
    locks.row(Workspace, pk=pk)
    accounts = list(locks.rows(Account.objects.filter(workspace=pk, phone_number__isnull=False).order_by("pk")))
    wanted = _holders(accounts)
    changes = [
        Change(account.pk, account.phone_key, *wanted[account.pk])
        for account in accounts
        if account.phone_key != wanted[account.pk][0]
    ]
    changed = Account.objects.filter(pk__in=[change.account for change in changes])
    changed.update(phone_key=None)  # first, as two accounts may exchange their keys
    for change in changes:
        changed.filter(pk=change.account).update(phone_key=change.key, twin_of=change.twin_of)
    return changes


def _holders(accounts: Iterable[Account]) -> dict[int, tuple[str | None, int | None]]:
    """The key of each account, and whose twin it is. Deleted ones keep theirs, for the search."""
    same_phone: dict[tuple[str, bool], list[Account]] = defaultdict(list)
    for account in accounts:
        same_phone[identity_key(str(account.phone_number)), account.deleted_at is None].append(account)
    wanted: dict[int, tuple[str | None, int | None]] = {}
    for (key, is_live), group in same_phone.items():
        firsts = {account.twin_of_id for account in group}
        first = min(group, key=lambda account: (account.pk not in firsts, *_rank(account)))
        for account in group:
            holds = not is_live or account is first
            twin_of = account.twin_of_id if account.phone_key == key else None
            wanted[account.pk] = (key, twin_of) if holds else (None, first.pk)
    return wanted


def _rank(account: Account) -> tuple[int, int]:
    """Connected before authenticated before the newest."""
    return {Status.CONNECTED: 0, Status.AUTHENTICATED: 1}.get(Status(account.status), 2), -account.pk
