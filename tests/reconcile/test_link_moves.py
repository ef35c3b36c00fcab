"""The row of a move says what was moved, when the orders and the history of it are gone; and twins make one of it."""

from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.bridges import ownership
from accounts.housekeeping import retention
from accounts.lifecycle import EndReason, Status
from accounts.models import Bridge, BridgeOrder, LinkMove, LinkSession, Transition, User
from accounts.pairing import attempts
from accounts.reconcile import lost_logins, relocation
from accounts.reconcile.relocation import MoveRefused
from tests.support import misbehaving
from tests.support.chats import PRIVATE, receive
from tests.support.links import QR, READY, status_of
from tests.support.losses import pass_time
from tests.support.misbehaving import MisbehavingBridge
from tests.support.moves import START, beta, bridge, calm_down, linked, move, other_node
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.races import assert_nothing_raised, at_once, numbers
from webhooks.authentication import forget_secrets

__all__ = ["beta", "bridge", "linked", "other_node"]

Kind, State, Why, MoveState = BridgeOrder.Kind, BridgeOrder.State, BridgeOrder.Why, LinkMove.State


def state_of(session: LinkSession) -> str:
    return session.moves.latest("pk").state


def forget_the_orders(session: LinkSession) -> None:
    """Of the move, whatever became of them; and all of the history."""
    session.orders.filter(why=Why.MOVE).delete()
    Transition.objects.all().delete()


def shows_a_code(session: LinkSession, node: MisbehavingBridge, secret: str = "beta") -> None:
    node.running, node.says = {session.session_id}, {session.session_id: "qr_scanning"}
    forget_secrets()
    Portal(f"{secret}-hmac").post("qr_code_generated", session, **QR, number=next(numbers))  # no replay of another
    run_due_tasks(within=10)
    session.refresh_from_db()


class TestTheRow:
    def test_says_who_moved_what_from_where_to_where(self, linked: LinkSession, beta: Bridge, bridge: Bridge) -> None:
        alice = User.objects.create_user("alice")
        move(linked, beta, actor=alice)
        row, stop = linked.moves.get(), linked.orders.get(kind=Kind.STOP)
        assert (row.from_bridge, row.to_bridge, row.stop, row.actor) == (bridge, beta, stop, alice)
        assert (row.reason, row.state, stop.why) == ("Its disk is full.", MoveState.WAITS_FOR_STOP, Why.MOVE)

    def test_goes_on_to_started(self, linked: LinkSession, beta: Bridge) -> None:
        move(linked, beta)
        run_due_tasks(within=10)
        assert state_of(linked) == MoveState.STARTED
        assert linked.orders.filter(kind=Kind.START).latest("pk").why == Why.MOVE

    def test_is_given_back_where_the_login_is_not(
        self, linked: LinkSession, beta: Bridge, other_node: MisbehavingBridge
    ) -> None:
        move(linked, beta)
        run_due_tasks(within=10)
        shows_a_code(linked, other_node)
        assert state_of(linked) == MoveState.GIVEN_BACK

    def test_is_given_up_where_the_old_bridge_does_not_stop_it(
        self, linked: LinkSession, beta: Bridge, node: MisbehavingBridge
    ) -> None:
        node.plays(misbehaving.status(500))
        move(linked, beta)
        run_due_tasks()
        pass_time(61)
        calm_down()
        relocation.go_on(linked.pk)
        assert state_of(linked) == MoveState.GIVEN_UP

    def test_lapses_after_a_day_and_another_move_may_begin(self, linked: LinkSession, beta: Bridge) -> None:
        move(linked, beta)
        pass_time(86_401)
        assert not LinkSession.objects.filter(ownership.waits_for_stop()).exists()
        relocation.go_on(linked.pk)
        assert not linked.orders.filter(kind=Kind.START, why=Why.MOVE).exists()
        move(linked, make_bridge("gamma", last_heard_at=timezone.now()))  # no sweep has come by yet
        states = list(linked.moves.order_by("pk").values_list("state", flat=True))
        assert states == [MoveState.LAPSED, MoveState.WAITS_FOR_STOP]

    def test_lapses_with_the_sweep_too(self, linked: LinkSession, beta: Bridge) -> None:
        move(linked, beta)
        relocation.sweep()
        assert state_of(linked) == MoveState.WAITS_FOR_STOP
        pass_time(86_401)
        assert relocation.sweep() == 0
        assert state_of(linked) == MoveState.LAPSED

    def test_is_not_made_by_a_pairing_on_another_bridge(self, linked: LinkSession, beta: Bridge) -> None:
        move(linked, beta, has_login=False)
        assert not LinkMove.objects.exists()

    @pytest.mark.usefixtures("other_node")
    def test_nor_by_what_else_staff_have_ordered(self, linked: LinkSession, bridge: Bridge) -> None:
        linked.orders.create(bridge=make_bridge("gamma"), kind=Kind.STOP, why=Why.STAFF)
        assert not LinkSession.objects.filter(ownership.waits_for_stop()).exists()
        assert lost_logins.why_elsewhere(linked) == ""

    def test_two_open_ones_of_a_session_cannot_be(self, linked: LinkSession, beta: Bridge, bridge: Bridge) -> None:
        move(linked, beta)
        with pytest.raises(IntegrityError), transaction.atomic():
            linked.moves.create(from_bridge=bridge, to_bridge=beta)
        assert not linked.moves.create(from_bridge=bridge, to_bridge=beta, state=MoveState.GIVEN_UP).stop


class TestWithoutItsOrdersAndTheHistory:
    def test_a_former_owners_messages_are_kept_for_their_time(
        self, portal: Portal, linked: LinkSession, beta: Bridge
    ) -> None:
        move(linked, beta)
        run_due_tasks(within=10)
        forget_secrets()
        forget_the_orders(linked)
        retention.run()
        assert receive(portal, linked, PRIVATE).json()["outcome"] == "applied"
        pass_time(89 * 86_400)
        retention.run()
        assert receive(portal, linked, PRIVATE | {"id": "later"}).json()["outcome"] == "applied"
        pass_time(2 * 86_400)
        retention.run()
        assert receive(portal, linked, PRIVATE | {"id": "too late"}).json()["outcome"] == "unknown_session"

    def test_a_code_at_the_new_bridge_still_gives_it_back(
        self, linked: LinkSession, beta: Bridge, bridge: Bridge, other_node: MisbehavingBridge
    ) -> None:
        move(linked, beta)
        run_due_tasks(within=10)
        forget_the_orders(linked)
        shows_a_code(linked, other_node)
        assert (linked.bridge, linked.end_reason) == (bridge, "")
        assert other_node.commands[-1] == ("DELETE", f"/api/sessions/{linked.session_id}")

    def test_a_code_at_the_old_one_then_still_ends_nothing(
        self, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        move(linked, beta)
        run_due_tasks(within=10)
        shows_a_code(linked, other_node)
        forget_the_orders(linked)
        shows_a_code(linked, node, "alpha")
        assert linked.end_reason == ""
        pass_time(86_400)
        shows_a_code(linked, node, "alpha")
        assert linked.end_reason == EndReason.LOGGED_OUT

    def test_nothing_is_started_twice(
        self, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        move(linked, beta)
        run_due_tasks(within=10)
        assert other_node.commands == [START]
        forget_the_orders(linked)
        assert relocation.sweep() == 0
        relocation.go_on(linked.pk)
        run_due_tasks(within=10)
        assert other_node.commands == [START]
        forget_secrets()
        Portal("beta-hmac").post("session_ready", linked, **READY)
        assert status_of(linked.account) == Status.CONNECTED

    def test_one_that_waits_for_a_stop_that_is_gone_goes_back(
        self, linked: LinkSession, beta: Bridge, bridge: Bridge, other_node: MisbehavingBridge
    ) -> None:
        """Nobody knows whether the old bridge has stopped it; it is asked, and starts it again if it has."""
        move(linked, beta)
        forget_the_orders(linked)
        relocation.go_on(linked.pk)
        linked.refresh_from_db()
        assert (linked.bridge, state_of(linked)) == (bridge, MoveState.GIVEN_UP)
        assert linked.orders.filter(kind=Kind.CHECK, why=Why.RECOVERY, bridge=bridge).exists()
        run_due_tasks(within=10)
        assert other_node.commands == []


class TestRetention:
    def test_a_row_goes_with_the_stop_that_it_waited_for(self, linked: LinkSession, beta: Bridge) -> None:
        move(linked, beta)
        pass_time(91 * 86_400)
        stop = linked.orders.filter(kind=Kind.STOP)
        stop.update(state=State.FAILED, closed_at=timezone.now() - timedelta(days=89))
        assert retention.run()["moves"] == 0
        stop.update(closed_at=timezone.now() - timedelta(days=91))
        assert retention.run()["moves"] == 1

    def test_and_with_its_session(self, linked: LinkSession, beta: Bridge) -> None:
        move(linked, beta)
        attempts.force_reset(linked.account_id, reason="test")
        linked.delete()
        assert not LinkMove.objects.exists()

    def test_orders_are_deleted_in_one_statement_as_before(self, linked: LinkSession, beta: Bridge) -> None:
        move(linked, beta)
        with CaptureQueriesContext(connection) as asked:
            linked.orders.filter(why=Why.MOVE).delete()
        assert len(asked) == 1


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
class TestTwins:
    def test_two_that_move_it_at_once_make_one_move(
        self, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        gamma = make_bridge("gamma", last_heard_at=timezone.now())
        results = at_once([partial(move, linked, target) for target in (beta, gamma, beta, gamma)])
        refused = [result.code for result in results if isinstance(result, MoveRefused)]
        assert len(refused) == 3, results
        assert set(refused) <= {"SAME_BRIDGE", "MOVE_IN_PROGRESS"}
        linked.refresh_from_db()
        assert linked.moves.get().to_bridge == linked.bridge
        assert linked.orders.filter(kind=Kind.STOP).count() == 1

    def test_two_that_go_on_at_once_make_one_start(self, linked: LinkSession, beta: Bridge) -> None:
        move(linked, beta)
        linked.orders.filter(kind=Kind.STOP).update(state=State.CONFIRMED)
        assert_nothing_raised(at_once([partial(relocation.go_on, linked.pk), relocation.sweep] * 3))
        assert linked.orders.filter(kind=Kind.START, bridge=beta).count() == 1
        assert linked.account.transitions.filter(reason__contains="is told to start it").count() == 1
        assert state_of(linked) == MoveState.STARTED

    def test_whoever_has_read_an_earlier_state_changes_nothing(self, linked: LinkSession, beta: Bridge) -> None:
        move(linked, beta)
        first, second = linked.moves.get(), linked.moves.get()
        assert first.advance(MoveState.STARTED)
        assert not second.advance(MoveState.GIVEN_UP)
        assert state_of(linked) == MoveState.STARTED
