"""Row locks are taken in one order, in one module; whoever takes them otherwise fails here and not at night."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.models import Account, Bridge, LinkSession, Workspace
from tests.support import ROOT

ROOMS = ("accounts", "api", "webhooks", "linking", "sessions_admin")
THE_ONE = Path("accounts/db/locks.py")


def lockers() -> Iterator[Path]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
            if "select_for_update" in names:
                yield path.relative_to(ROOT)


def test_one_module_locks_rows() -> None:
    assert list(lockers()) == [THE_ONE]


@atomically
def take(*wanted: Workspace | Account | Bridge | LinkSession) -> None:
    for row in wanted:
        locks.row(type(row), pk=row.pk)


def test_the_order_is_workspace_account_bridge_session(
    workspace: Workspace, account: Account, bridge: Bridge, session: LinkSession
) -> None:
    take(workspace, account, bridge, session)


def test_what_is_held_may_be_asked_for_again(workspace: Workspace, account: Account, session: LinkSession) -> None:
    take(workspace, account, session, account, workspace)


def test_each_transaction_begins_anew(account: Account, session: LinkSession) -> None:
    take(session)
    take(account)


@pytest.mark.parametrize("later", ["account", "bridge", "session"])
def test_a_workspace_after_anything_else_is_refused(
    later: str, workspace: Workspace, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(locks.WrongOrder, match="workspace"):
        take(request.getfixturevalue(later), workspace)


def test_accounts_are_locked_by_their_ids(workspace: Workspace, account: Account) -> None:
    other = Account.objects.create(workspace=workspace)
    take(account, other)
    with pytest.raises(locks.WrongOrder, match="account"):
        take(other, account)


def test_a_call_inside_another_takes_part_in_its_order(workspace: Workspace, account: Account) -> None:
    @atomically
    def outer() -> None:
        take(account)
        take(workspace)

    with pytest.raises(locks.WrongOrder):
        outer()
