"""A reset takes the device off the phone, or says that it is still there: nothing else than a plain yes will do."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.delivery import retries
from accounts.housekeeping import retention
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.pairing import attempts
from accounts.pairing.attempts import May
from tests.support import misbehaving
from tests.support.misbehaving import Conversation, MisbehavingBridge, Seen, faithful
from tests.support.orders import bridge, linked, node, stop_of, wait
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked", "node"]

State = BridgeOrder.State

pytestmark = pytest.mark.django_db(transaction=True)


def deletes(node: MisbehavingBridge) -> int:
    return [method for method, _ in node.commands].count("DELETE")


def warns(talk: Conversation, seen: Seen) -> None:
    talk.answer(200, {"success": True, "warning": "The client of 6281167328422 could not be ended cleanly"})


class TestUnclear:
    """The bridge was killed with the command in its hands. Started anew it does not list what has ended here, but the
    login lies on its disk and the device stands on the phone."""

    @pytest.fixture
    def stopped(self, node: MisbehavingBridge, linked: LinkSession, account: Account) -> BridgeOrder:
        node.plays(misbehaving.drops_the_line, faithful)
        attempts.force_reset(account.pk)
        run_due_tasks()
        node.running.clear()
        stop = stop_of(linked)
        assert (stop.state, stop.logout) == (State.UNCLEAR, True)
        return stop

    def test_it_is_told_again_until_it_says_yes(
        self, node: MisbehavingBridge, account: Account, stopped: BridgeOrder
    ) -> None:
        for _ in range(3):
            wait(stopped, 10)
        assert (stopped.state, deletes(node)) == (State.CONFIRMED, 2)
        assert node.seen[-1].body == {"api_key": "alpha-key", "logout": True}
        assert account.devices_left() == 0

    def test_also_where_the_list_cannot_be_read(self, node: MisbehavingBridge, stopped: BridgeOrder) -> None:
        node.lists = misbehaving.status(500)
        for _ in range(3):
            wait(stopped, 10)
        assert (stopped.state, deletes(node)) == (State.CONFIRMED, 2)

    def test_more_and_more_seldom(self, node: MisbehavingBridge, stopped: BridgeOrder) -> None:
        node.plays(misbehaving.drops_the_line)
        for pause in (1, 2, 4, 8, 16, 32):
            began = timezone.now()
            wait(stopped, 600)  # as it is unclear: put back
            assert began <= stopped.due_at - timedelta(seconds=pause) <= timezone.now()
            wait(stopped, 600)  # told again

    def test_for_a_day_and_then_the_phone_is_asked(
        self, node: MisbehavingBridge, account: Account, stopped: BridgeOrder
    ) -> None:
        BridgeOrder.objects.update(created_at=F("created_at") - retries.STOPS_KEPT)
        wait(stopped, 10)
        assert (stopped.state, deletes(node), account.devices_left()) == (State.FAILED, 1, 1)

    def test_a_bridge_that_cannot_unlink_is_not_asked_to(
        self, node: MisbehavingBridge, account: Account, stopped: BridgeOrder
    ) -> None:
        Bridge.objects.update(capabilities=[])
        wait(stopped, 10)
        assert (stopped.state, deletes(node), account.devices_left()) == (State.CONFIRMED, 1, 1)


class TestWarning:
    def test_it_is_told_again(self, node: MisbehavingBridge, linked: LinkSession, account: Account) -> None:
        node.plays(warns, faithful)
        attempts.force_reset(account.pk)
        run_due_tasks()
        assert stop_of(linked).state == State.PENDING
        reason = account.transitions.latest("pk").reason
        assert reason == "stop: it warned: The client of [number] could not be ended cleanly"
        assert Bridge.objects.get().failing_since is None
        stop = stop_of(linked)
        wait(stop, 5)
        assert (stop.state, deletes(node)) == (State.CONFIRMED, 2)

    def test_where_nothing_is_to_be_unlinked_it_is_a_stop(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        run_due_tasks()
        node.plays(warns)
        attempts.start(session.account_id, trigger="test", may=May.RENEW)
        wait(stop_of(session), 20)
        assert stop_of(session).state == State.CONFIRMED


def test_what_was_unlinked_stays_so_when_its_orders_are_old(linked: LinkSession, account: Account) -> None:
    """The stop is the only word of it."""
    attempts.force_reset(account.pk)
    run_due_tasks()
    ago = timezone.now() - timedelta(days=100)
    BridgeOrder.objects.update(created_at=ago, closed_at=ago)
    assert retention.run()["orders"] == 1
    assert [order.kind for order in linked.orders.all()] == ["stop"]
    assert account.devices_left() == 0


def test_a_bridge_that_refuses_for_a_day_is_told_every_ten_minutes() -> None:
    assert [BridgeOrder(kind=BridgeOrder.Kind.STOP, attempts=tries).pause for tries in (1, 5, 11, 2_000)] == [
        1,
        16,
        600,
        600,
    ]
