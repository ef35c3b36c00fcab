"""Orders that may have been carried out: only evidence settles them, and no start is posted twice."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.delivery import dispatcher, in_doubt
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.orders import turns
from accounts.pairing import attempts
from tests.support import misbehaving
from tests.support.links import QR, move_back
from tests.support.misbehaving import MisbehavingBridge, status, well
from tests.support.orders import ask_for_evidence, bridge, start_of, stop_of, wait
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge"]

Kind, State = BridgeOrder.Kind, BridgeOrder.State

# Each leaves it open whether the bridge has done it.
UNCLEAR = [
    misbehaving.hangs,
    misbehaving.drops_the_line,
    misbehaving.says_html,
    misbehaving.says_a_list,
    misbehaving.is_garbled,
    misbehaving.never_ends,
    misbehaving.drips,
]


class TestUnclear:
    """It may have been carried out: only evidence settles it."""

    @pytest.mark.usefixtures("impatient")
    @pytest.mark.parametrize("act", UNCLEAR, ids=lambda act: act.__name__)
    def test_it_is_never_posted_again(
        self, node: MisbehavingBridge, account: Account, session: LinkSession, act: misbehaving.Act
    ) -> None:
        node.plays(act)
        run_due_tasks()
        order = start_of(session)
        assert order.state == State.UNCLEAR
        for _ in range(3):
            ask_for_evidence(order)
        wait(order, 25)
        assert order.state == State.UNCLEAR
        assert node.commands == [("POST", "/api/sessions")]
        account.refresh_from_db()
        assert account.status == Status.QR_SCANNING

    def test_a_qr_code_confirms_it(self, node: MisbehavingBridge, portal: Portal, session: LinkSession) -> None:
        node.plays(misbehaving.drops_the_line)
        run_due_tasks()
        portal.post("qr_code_generated", session, **QR)
        assert start_of(session).state == State.CONFIRMED

    def test_the_list_of_sessions_confirms_it(self, node: MisbehavingBridge, session: LinkSession) -> None:
        node.plays(misbehaving.drops_the_line)
        run_due_tasks()
        node.running = {session.session_id}
        order = start_of(session)
        ask_for_evidence(order)
        assert order.state == State.UNCLEAR  # a Node bridge lists it before its create is done
        BridgeOrder.objects.update(posted_at=timezone.now() - timedelta(seconds=turns.CREATING + 1))
        wait(order, 20)
        assert order.state == State.CONFIRMED
        assert node.commands == [("POST", "/api/sessions")]

    def test_a_list_that_cannot_be_read_is_no_evidence(self, node: MisbehavingBridge, session: LinkSession) -> None:
        node.plays(misbehaving.drops_the_line)
        node.lists = misbehaving.says_html
        run_due_tasks()
        order = start_of(session)
        ask_for_evidence(order)
        assert order.state == State.UNCLEAR

    def test_it_is_looked_for_once_in_five_seconds_however_often_the_sweep_comes(
        self, node: MisbehavingBridge, session: LinkSession
    ) -> None:
        node.plays(misbehaving.drops_the_line)
        node.lists = status(500)
        run_due_tasks()
        order = start_of(session)
        for looks in range(1, 5):
            ask_for_evidence(order)
            dispatcher.sweep()
            in_doubt.settle(order.pk)
            run_due_tasks()
            assert [seen.method for seen in node.seen].count("GET") == looks

    def test_without_evidence_within_a_minute_the_pairing_fails_and_is_stopped(
        self, node: MisbehavingBridge, account: Account, session: LinkSession
    ) -> None:
        node.plays(misbehaving.drops_the_line, well)
        run_due_tasks()
        move_back(session, 61)
        assert attempts.expire(session.pk)
        account.refresh_from_db()
        session.refresh_from_db()
        assert account.status == Status.FAILED
        assert session.end_reason == EndReason.BRIDGE_UNAVAILABLE
        wait(stop_of(session), 2)
        assert node.commands[1:] == [("DELETE", f"/api/sessions/{session.session_id}")]
        order = start_of(session)
        ask_for_evidence(order)
        assert order.state == State.UNCLEAR  # the bridge may be creating it still
        BridgeOrder.objects.update(posted_at=timezone.now() - timedelta(seconds=turns.CREATING))
        ask_for_evidence(order)
        assert order.state == State.CANCELLED

    def test_a_stop_that_did_not_work_is_ordered_again(self, node: MisbehavingBridge, session: LinkSession) -> None:
        """Stopping twice harms nobody, a session that runs on does."""
        run_due_tasks()
        node.plays(misbehaving.drops_the_line, well)
        attempts.force_reset(session.account_id)
        node.running = {session.session_id}
        run_due_tasks()
        order = stop_of(session)
        assert order.state == State.UNCLEAR
        ask_for_evidence(order)
        wait(order, 2)
        assert order.state == State.CONFIRMED
        assert node.commands[1:] == [("DELETE", f"/api/sessions/{session.session_id}")] * 2

    def test_a_stop_that_worked_is_not(self, node: MisbehavingBridge, session: LinkSession) -> None:
        """Where nothing is to be unlinked (tests/orders/test_order_unlinking.py)."""
        Bridge.objects.update(capabilities=[])
        run_due_tasks()
        node.plays(misbehaving.drops_the_line)
        attempts.force_reset(session.account_id)
        run_due_tasks()
        order = stop_of(session)
        ask_for_evidence(order)
        assert order.state == State.CONFIRMED
        assert len(node.commands) == 2
