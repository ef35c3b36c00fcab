"""Orders overtaken by an end or by a late scan: dropped when nobody wants them, repeated when somebody does."""

import pytest
from django.utils import timezone

from accounts.models import Account, BridgeOrder, LinkSession
from accounts.pairing import attempts
from tests.support import misbehaving
from tests.support.links import QR, READY, move_back
from tests.support.misbehaving import MisbehavingBridge, status, well
from tests.support.orders import bridge, start_of, stop_of, wait
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge"]

Kind, State = BridgeOrder.Kind, BridgeOrder.State


class TestNotWantedAnyMore:
    def test_a_start_of_a_session_that_has_ended(
        self, node: MisbehavingBridge, account: Account, session: LinkSession
    ) -> None:
        attempts.force_reset(account.pk)
        run_due_tasks()
        assert start_of(session).state == State.CANCELLED
        assert ("POST", "/api/sessions") not in node.commands

    def test_a_soft_stop_waits_for_a_scan_that_was_under_way(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        self.let_it_lapse(portal, session)
        order = stop_of(session)
        assert 5 < (order.due_at - timezone.now()).total_seconds() <= 15
        run_due_tasks(within=30)
        assert len(node.commands) == 1
        wait(order, 15)
        assert node.commands[1:] == [("DELETE", f"/api/sessions/{session.session_id}")]

    def test_a_stop_of_a_session_that_was_reopened(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        self.let_it_lapse(portal, session)
        portal.post("session_authenticated", session)
        wait(stop_of(session), 15)
        assert stop_of(session).state == State.CANCELLED
        assert len(node.commands) == 1

    def test_a_stop_that_was_put_back_and_then_overtaken_by_the_scan(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        """Tried once, refused: the bridge did not stop it, and must not later."""
        self.let_it_lapse(portal, session)
        node.plays(status(500), well)
        wait(stop_of(session), 15)
        portal.post("session_authenticated", session)
        wait(stop_of(session), 15)
        assert stop_of(session).state == State.CANCELLED
        assert [command for command in node.commands if command[0] == "DELETE"] == [
            ("DELETE", f"/api/sessions/{session.session_id}")
        ]

    @staticmethod
    def let_it_lapse(portal: Portal, session: LinkSession) -> None:
        run_due_tasks()
        portal.post("qr_code_generated", session, **QR)
        move_back(session, 121)
        assert attempts.expire(session.pk)


class TestReopened:
    """After its stop went out the same id is started again, and logs in silently: but not beside a running one."""

    @pytest.fixture
    def reopened(self, node: MisbehavingBridge, portal: Portal, session: LinkSession) -> LinkSession:
        TestNotWantedAnyMore.let_it_lapse(portal, session)
        wait(stop_of(session), 15)
        portal.post("session_ready", session, **READY)
        return session

    def test_it_is_started_again(self, node: MisbehavingBridge, reopened: LinkSession) -> None:
        run_due_tasks()
        assert [(seen.method, seen.path) for seen in node.seen][-2:] == [
            ("GET", "/api/sessions"),
            ("POST", "/api/sessions"),
        ]

    def test_one_that_runs_on_is_left_alone(self, node: MisbehavingBridge, reopened: LinkSession) -> None:
        node.running = {reopened.session_id}
        run_due_tasks()
        assert node.commands.count(("POST", "/api/sessions")) == 1
        assert reopened.orders.filter(kind=Kind.START, state=State.CONFIRMED).count() == 2

    @pytest.mark.parametrize("act", [misbehaving.drops_the_line, status(500), status(401)])
    def test_while_the_list_cannot_be_read_it_waits(
        self, node: MisbehavingBridge, reopened: LinkSession, act: misbehaving.Act
    ) -> None:
        """Nothing was ordered yet: that is not unclear, and not refused for good."""
        node.lists = act
        run_due_tasks()
        again = reopened.orders.filter(kind=Kind.START).latest("pk")
        assert again.state == State.PENDING
        node.lists = misbehaving.list_sessions
        wait(again, 5)
        assert again.state == State.CONFIRMED
        assert node.commands.count(("POST", "/api/sessions")) == 2
