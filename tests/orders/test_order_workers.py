"""Workers that die with an order: another goes on, and asks the bridge first where it may have arrived."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from accounts.delivery import dispatcher, in_doubt, retries
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.orders import outbox
from accounts.pairing import attempts
from tests.support import misbehaving
from tests.support.misbehaving import MisbehavingBridge, status
from tests.support.orders import ask_for_evidence, bridge, start_of, stop_of, wait
from tests.support.queue import run_due_tasks

__all__ = ["bridge"]

Kind, State = BridgeOrder.Kind, BridgeOrder.State


class TestWorkersDie:
    def claimed(self, session: LinkSession, **values: Any) -> BridgeOrder:
        """What a killed worker leaves behind, once its lease has run out."""
        order = start_of(session)
        over = timezone.now() - timedelta(seconds=1)
        BridgeOrder.objects.filter(pk=order.pk).update(state=State.CLAIMED, attempts=1, due_at=over, **values)
        return order

    def test_before_the_post_another_one_delivers_it(self, node: MisbehavingBridge, session: LinkSession) -> None:
        order = self.claimed(session)
        dispatcher.sweep()
        run_due_tasks()
        order.refresh_from_db()
        assert (order.state, order.attempts) == (State.CONFIRMED, 2)
        assert node.commands == [("POST", "/api/sessions")]

    def test_around_the_post_the_bridge_is_asked_first(self, node: MisbehavingBridge, session: LinkSession) -> None:
        """Nobody knows whether it arrived: started twice, a Node bridge runs two clients."""
        order = self.claimed(session, posted_at=timezone.now() - timedelta(seconds=20))
        node.running = {session.session_id}
        node.says[session.session_id] = "authenticated"
        ask_for_evidence(order)
        assert order.state == State.CONFIRMED
        assert [seen.method for seen in node.seen] == ["GET"]

    @pytest.mark.parametrize("kind", [Kind.START, Kind.RECONNECT])
    def test_what_may_have_arrived_is_not_repeated(
        self, node: MisbehavingBridge, session: LinkSession, kind: BridgeOrder.Kind
    ) -> None:
        """A Node bridge shows it only when it is done, which may take a minute."""
        BridgeOrder.objects.update(kind=kind)
        order = BridgeOrder.objects.get()
        over = timezone.now() - timedelta(seconds=1)
        BridgeOrder.objects.update(state=State.CLAIMED, attempts=1, due_at=over, posted_at=over)
        for _ in range(4):
            wait(order, 25)
        assert (order.state, node.commands) == (State.UNCLEAR, [])
        node.running = {session.session_id}
        node.says[session.session_id] = "authenticated"
        wait(order, 25)
        assert (order.state, node.commands) == (State.CONFIRMED, [])

    def test_it_stands_in_the_history(self, account: Account, session: LinkSession) -> None:
        self.claimed(session, posted_at=timezone.now())
        dispatcher.sweep()
        run_due_tasks()
        told = account.transitions.filter(trigger="order_unclear")
        assert told.get().reason == "start: it was broken off before an answer was noted"

    def test_a_stop_is_repeated(self, node: MisbehavingBridge, session: LinkSession) -> None:
        """Stopping twice harms nobody."""
        run_due_tasks()
        attempts.force_reset(session.account_id)
        order, over = stop_of(session), timezone.now() - timedelta(seconds=1)
        BridgeOrder.objects.filter(pk=order.pk).update(state=State.CLAIMED, attempts=1, due_at=over, posted_at=over)
        wait(order, 1)
        assert order.state == State.CONFIRMED
        assert node.commands[1:] == [("DELETE", f"/api/sessions/{session.session_id}")]

    def test_an_order_that_kills_each_of_its_workers_is_given_up(
        self, node: MisbehavingBridge, session: LinkSession
    ) -> None:
        run_due_tasks()
        order = outbox.order(session, Kind.CHECK, why=BridgeOrder.Why.RECOVERY)
        for _ in range(retries.CHECK_TRIES):
            assert dispatcher._claim(order.pk) is not None
            BridgeOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
            in_doubt.settle(order.pk)
        order.refresh_from_db()
        assert (order.state, order.error) == (State.FAILED, retries.DIED)

    def test_until_the_bridge_can_be_asked_it_is_not_repeated(
        self, node: MisbehavingBridge, session: LinkSession
    ) -> None:
        order = self.claimed(session, posted_at=timezone.now() - timedelta(seconds=20))
        node.lists = status(500)
        node.running = {session.session_id}
        node.says[session.session_id] = "authenticated"
        ask_for_evidence(order)
        wait(order, 15)
        assert node.commands == []
        node.lists = misbehaving.list_sessions
        wait(order, 15)
        assert order.state == State.CONFIRMED
        assert node.commands == []

    def test_a_claim_that_still_holds_is_respected(self, node: MisbehavingBridge, session: LinkSession) -> None:
        order = self.claimed(session)
        BridgeOrder.objects.update(due_at=timezone.now() + timedelta(seconds=10))
        in_doubt.settle(order.pk)
        dispatcher.deliver(order.pk)
        assert start_of(session).state == State.CLAIMED
        assert node.seen == []

    def test_an_order_whose_task_was_lost_is_found(self, node: MisbehavingBridge, session: LinkSession) -> None:
        OrmQ.objects.all().delete()
        assert dispatcher.sweep() == 1
        run_due_tasks()
        assert start_of(session).state == State.CONFIRMED
