"""`pair` on a connected account is refused; the bridge is asked, and what it runs no more is restored."""

import pytest

from accounts.lifecycle import Status
from accounts.models import Account, LinkSession
from tests.api.conftest import Program
from tests.support.links import link, move_back, status_of
from tests.support.misbehaving import MisbehavingBridge
from tests.support.orders import bridge
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge"]


def pair(asks: Program, account: Account, *, force: bool = False) -> tuple[int, str]:
    answer = asks.post("pair", account=str(account.uuid), force=force)
    told = answer.json()
    return answer.status_code, told["error"]["code"] if "error" in told else told["data"]["status"]


@pytest.fixture
def linked(portal: Portal, session: LinkSession) -> LinkSession:
    run_due_tasks()
    link(portal, session)
    move_back(session, 600)  # out of the quiet time
    return session


def test_one_that_is_there_stays(asks: Program, account: Account, linked: LinkSession, node: MisbehavingBridge) -> None:
    node.running, node.says = {linked.session_id}, {linked.session_id: "connected"}
    for _ in range(3):
        assert pair(asks, account) == (409, "ALREADY_CONNECTED")
    assert linked.orders.filter(kind="check").count() == 1
    run_due_tasks()
    assert status_of(account) == Status.CONNECTED


def test_one_that_is_gone_is_restored_and_not_paired_anew(
    asks: Program, account: Account, linked: LinkSession, node: MisbehavingBridge
) -> None:
    assert pair(asks, account) == (409, "ALREADY_CONNECTED")
    run_due_tasks()
    for _ in range(2):  # also when the bridge has taken the start and is not ready yet
        assert pair(asks, account) == (202, "disconnected")
        run_due_tasks()
    assert account.sessions.count() == 1


def test_a_fresh_link_is_not_started_twice_on_the_word_of_one_list(
    asks: Program, account: Account, session: LinkSession, portal: Portal, node: MisbehavingBridge
) -> None:
    """One of several processes behind an address knows only its own sessions (rule "Quiet time")."""
    run_due_tasks()
    link(portal, session)
    assert pair(asks, account) == (429, "PAIRING_IN_PROGRESS")
    assert pair(asks, account, force=True) == (409, "ALREADY_CONNECTED")
    assert session.orders.filter(kind="check").count() == 1
    run_due_tasks()
    assert status_of(account) == Status.CONNECTED
