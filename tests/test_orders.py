"""Orders to a bridge: written down first, delivered by a task, never repeated when they may have arrived."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db.models import F
from django.utils import timezone
from django_q.models import OrmQ

from accounts import bridge_client, delivery, lines, orders, pairing, setbacks
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, BridgeSecret, LinkSession
from tests import misbehaving
from tests.conftest import Portal, make_bridge
from tests.misbehaving import Conversation, MisbehavingBridge, Seen, misbehaving_bridge, status, well
from tests.queue import run_due_tasks
from tests.test_webhook_contract import QR, READY, link, move_back

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


@pytest.fixture
def node() -> Any:
    with misbehaving_bridge() as server:
        yield server


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    return make_bridge("alpha", url=node.url)


def start_of(session: LinkSession) -> BridgeOrder:
    return session.orders.get(kind=Kind.START)


def stop_of(session: LinkSession) -> BridgeOrder:
    return session.orders.get(kind=Kind.STOP)


def wait(order: BridgeOrder, seconds: float) -> None:
    """As if so much time had passed for the order, and the sweep had come by."""
    shift = timedelta(seconds=seconds)
    BridgeOrder.objects.filter(pk=order.pk).update(due_at=F("due_at") - shift)
    Bridge.objects.update(orders_wait_until=F("orders_wait_until") - shift)
    delivery.sweep()
    run_due_tasks()
    order.refresh_from_db()


def ask_for_evidence(order: BridgeOrder) -> None:
    wait(order, orders.LOOK_AGAIN)


class TestCommands:
    """Exactly the requests of contract 2."""

    def test_start(self, node: MisbehavingBridge, account: Account, session: LinkSession) -> None:
        run_due_tasks()
        ids = {"workspace_id": account.workspace_id, "account_id": account.pk}
        body = {"session_id": session.session_id, **ids, "api_key": "alpha-key"}
        assert node.seen == [Seen("POST", "/api/sessions", {}, body)]
        assert start_of(session).state == State.CONFIRMED

    def test_reconnect(self, node: MisbehavingBridge, account: Account, session: LinkSession) -> None:
        run_due_tasks()
        orders.order(session, Kind.RECONNECT)
        run_due_tasks()
        body = {"workspace_id": account.workspace_id, "account_id": account.pk, "api_key": "alpha-key"}
        assert node.seen[-1] == Seen("POST", f"/api/sessions/{session.session_id}/reconnect", {}, body)

    @pytest.mark.parametrize(("unlinks", "more"), [(True, {"logout": True}), (False, {})])
    def test_stop_has_its_key_in_the_body_too(
        self, node: MisbehavingBridge, session: LinkSession, unlinks: bool, more: dict[str, bool]
    ) -> None:
        run_due_tasks()
        LinkSession.objects.update(ended_at=timezone.now())
        orders.order(session, Kind.STOP, logout=unlinks)
        run_due_tasks()
        body = {"api_key": "alpha-key", **more}
        assert node.seen[-1] == Seen("DELETE", f"/api/sessions/{session.session_id}", {}, body)

    def test_the_list_has_its_key_in_the_query(self, node: MisbehavingBridge, bridge: Bridge) -> None:
        node.running = {"a", "b"}
        assert set(bridge_client.running_sessions(bridge)) == {"a", "b"}
        assert node.seen == [Seen("GET", "/api/sessions", {"api_key": "alpha-key"}, None)]

    def test_a_bridge_without_keys_is_asked_without(self, node: MisbehavingBridge, session: LinkSession) -> None:
        BridgeSecret.objects.filter(kind="api_key").delete()
        run_due_tasks()
        assert "api_key" not in node.seen[0].body

    def test_the_older_key_is_tried_when_the_newer_is_not_known_yet(
        self, node: MisbehavingBridge, bridge: Bridge, session: LinkSession
    ) -> None:
        BridgeSecret.objects.create(bridge=bridge, kind="api_key", value="newer")
        node.plays(misbehaving.knows_only("alpha-key"))
        run_due_tasks()
        assert [seen.body["api_key"] for seen in node.seen] == ["newer", "alpha-key"]
        assert start_of(session).state == State.CONFIRMED

    def test_a_retired_key_is_not_sent(self, node: MisbehavingBridge, bridge: Bridge, session: LinkSession) -> None:
        bridge.credentials.get(kind="api_key").retire()
        BridgeSecret.objects.create(bridge=bridge, kind="api_key", value="newer")
        run_due_tasks()
        assert [seen.body["api_key"] for seen in node.seen] == ["newer"]


@pytest.mark.django_db(transaction=True)
class TestCommittedFirst:
    def test_the_bridge_can_answer_by_webhook_before_its_post_returns(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        """The webhook comes in on another connection: it sees only what was committed."""
        answers = []

        def webhook_first(talk: Conversation, seen: Seen) -> None:
            answers.append(portal.post("qr_code_generated", seen.body["session_id"], **QR).json()["outcome"])
            well(talk, seen)

        node.plays(webhook_first)
        run_due_tasks()
        assert answers == ["applied"]
        assert start_of(session).state == State.CONFIRMED
        assert len(node.seen) == 1

    def test_a_time_out_does_not_undo_a_qr_code_that_came_meanwhile(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        def qr_and_no_answer(talk: Conversation, seen: Seen) -> None:
            portal.post("qr_code_generated", session, **QR)
            misbehaving.drops_the_line(talk, seen)

        node.plays(qr_and_no_answer)
        run_due_tasks()
        assert start_of(session).state == State.CONFIRMED

    def test_two_orders_of_one_session_are_never_on_the_wire_together(
        self, node: MisbehavingBridge, account: Account, session: LinkSession
    ) -> None:
        during: list[list[tuple[str, str]]] = []

        def reset_meanwhile(talk: Conversation, seen: Seen) -> None:
            pairing.force_reset(account.pk)
            delivery.deliver(stop_of(session).pk)
            during.append(node.commands)
            well(talk, seen)

        node.plays(reset_meanwhile, well)
        run_due_tasks()
        assert during == [[("POST", "/api/sessions")]]
        wait(stop_of(session), 2)
        assert node.commands[1:] == [("DELETE", f"/api/sessions/{session.session_id}")]
        assert stop_of(session).state == State.CONFIRMED


class TestRefused:
    """Surely not carried out: tried again."""

    def test_a_bridge_that_is_down_gets_it_when_it_is_back(
        self, node: MisbehavingBridge, bridge: Bridge, session: LinkSession
    ) -> None:
        Bridge.objects.update(url="http://127.0.0.1:1")
        run_due_tasks()
        order = start_of(session)
        assert (order.state, order.attempts, order.posted_at) == (State.PENDING, 1, None)
        assert 0 < (order.due_at - timezone.now()).total_seconds() <= 1
        Bridge.objects.update(url=node.url)
        wait(order, 2)
        assert order.state == State.CONFIRMED
        assert node.commands == [("POST", "/api/sessions")]

    def test_the_pauses_grow_and_stop_growing(self, session: LinkSession) -> None:
        Bridge.objects.update(url="http://127.0.0.1:1")
        order = start_of(session)
        pauses = []
        for _ in range(7):
            with time_machine.travel(timezone.now(), tick=False):
                BridgeOrder.objects.update(due_at=timezone.now())
                Bridge.objects.update(orders_wait_until=None)
                delivery.deliver(order.pk)
                order.refresh_from_db()
                pauses.append(round((order.due_at - timezone.now()).total_seconds()))
        assert pauses == [1, 2, 4, 8, 15, 15, 15]

    @pytest.mark.parametrize("act", [status(code) for code in (408, 425, 429, 500, 503)] + [misbehaving.redirects])
    def test_an_answer_that_it_did_not_work_is_tried_again(
        self, node: MisbehavingBridge, session: LinkSession, act: misbehaving.Act
    ) -> None:
        node.plays(act, well)
        run_due_tasks()
        order = start_of(session)
        assert order.state == State.PENDING
        assert len(node.seen) == 1  # a redirect is not followed: it would carry the key elsewhere
        wait(order, 2)
        assert order.state == State.CONFIRMED
        assert node.commands == [("POST", "/api/sessions")] * 2

    def test_before_its_time_it_does_not_go_out(self, node: MisbehavingBridge, session: LinkSession) -> None:
        node.plays(status(500), well)
        run_due_tasks()
        delivery.deliver(start_of(session).pk)
        assert len(node.seen) == 1

    def test_a_stop_is_tried_for_a_day_more_and_more_seldom(
        self, node: MisbehavingBridge, session: LinkSession
    ) -> None:
        """A line that is down for a minute must not leave a device on the phone of somebody who was reset."""
        run_due_tasks()
        node.plays(status(500))
        LinkSession.objects.update(ended_at=timezone.now())
        order = orders.order(session, Kind.STOP)
        for _ in range(12):
            wait(order, 600)
        assert (order.state, order.attempts) == (State.PENDING, 12)
        BridgeOrder.objects.filter(pk=order.pk).update(created_at=timezone.now() - timedelta(hours=25))
        wait(order, 600)
        assert order.state == State.FAILED


class TestRefusedForGood:
    @pytest.mark.parametrize("code", [400, 401, 403, 404, 405])
    def test_a_pairing_fails_at_once(
        self, node: MisbehavingBridge, account: Account, session: LinkSession, code: int
    ) -> None:
        node.plays(status(code))
        run_due_tasks()
        account.refresh_from_db()
        session.refresh_from_db()
        assert account.status == Status.FAILED
        assert session.end_reason == EndReason.BRIDGE_UNAVAILABLE
        assert str(code) in session.end_detail
        assert start_of(session).state == State.FAILED

    def test_a_session_that_talks_already_goes_on(
        self, node: MisbehavingBridge, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """A second POST that a Node bridge refuses says nothing about the first."""
        portal.post("qr_code_generated", session, **QR)
        node.plays(status(400))
        run_due_tasks()
        account.refresh_from_db()
        assert account.status == Status.QR_SCANNING


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
        BridgeOrder.objects.update(posted_at=timezone.now() - timedelta(seconds=lines.CREATING + 1))
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
            delivery.sweep()
            delivery.settle(order.pk)
            run_due_tasks()
            assert [seen.method for seen in node.seen].count("GET") == looks

    def test_without_evidence_within_a_minute_the_pairing_fails_and_is_stopped(
        self, node: MisbehavingBridge, account: Account, session: LinkSession
    ) -> None:
        node.plays(misbehaving.drops_the_line, well)
        run_due_tasks()
        move_back(session, 61)
        assert pairing.expire(session.pk)
        account.refresh_from_db()
        session.refresh_from_db()
        assert account.status == Status.FAILED
        assert session.end_reason == EndReason.BRIDGE_UNAVAILABLE
        wait(stop_of(session), 2)
        assert node.commands[1:] == [("DELETE", f"/api/sessions/{session.session_id}")]
        order = start_of(session)
        ask_for_evidence(order)
        assert order.state == State.UNCLEAR  # the bridge may be creating it still
        BridgeOrder.objects.update(posted_at=timezone.now() - timedelta(seconds=lines.CREATING))
        ask_for_evidence(order)
        assert order.state == State.CANCELLED

    def test_a_stop_that_did_not_work_is_ordered_again(self, node: MisbehavingBridge, session: LinkSession) -> None:
        """Stopping twice harms nobody, a session that runs on does."""
        run_due_tasks()
        node.plays(misbehaving.drops_the_line, well)
        pairing.force_reset(session.account_id)
        node.running = {session.session_id}
        run_due_tasks()
        order = stop_of(session)
        assert order.state == State.UNCLEAR
        ask_for_evidence(order)
        wait(order, 2)
        assert order.state == State.CONFIRMED
        assert node.commands[1:] == [("DELETE", f"/api/sessions/{session.session_id}")] * 2

    def test_a_stop_that_worked_is_not(self, node: MisbehavingBridge, session: LinkSession) -> None:
        """Where nothing is to be unlinked (tests/test_order_unlinking.py)."""
        Bridge.objects.update(capabilities=[])
        run_due_tasks()
        node.plays(misbehaving.drops_the_line)
        pairing.force_reset(session.account_id)
        run_due_tasks()
        order = stop_of(session)
        ask_for_evidence(order)
        assert order.state == State.CONFIRMED
        assert len(node.commands) == 2


class TestNotWantedAnyMore:
    def test_a_start_of_a_session_that_has_ended(
        self, node: MisbehavingBridge, account: Account, session: LinkSession
    ) -> None:
        pairing.force_reset(account.pk)
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
        assert pairing.expire(session.pk)


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


class TestWorkersDie:
    def claimed(self, session: LinkSession, **values: Any) -> BridgeOrder:
        """What a killed worker leaves behind, once its lease has run out."""
        order = start_of(session)
        over = timezone.now() - timedelta(seconds=1)
        BridgeOrder.objects.filter(pk=order.pk).update(state=State.CLAIMED, attempts=1, due_at=over, **values)
        return order

    def test_before_the_post_another_one_delivers_it(self, node: MisbehavingBridge, session: LinkSession) -> None:
        order = self.claimed(session)
        delivery.sweep()
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
        delivery.sweep()
        run_due_tasks()
        assert account.transitions.filter(trigger="order_unclear", reason="start: the worker died with it").count() == 1

    def test_a_stop_is_repeated(self, node: MisbehavingBridge, session: LinkSession) -> None:
        """Stopping twice harms nobody."""
        run_due_tasks()
        pairing.force_reset(session.account_id)
        order, over = stop_of(session), timezone.now() - timedelta(seconds=1)
        BridgeOrder.objects.filter(pk=order.pk).update(state=State.CLAIMED, attempts=1, due_at=over, posted_at=over)
        wait(order, 1)
        assert order.state == State.CONFIRMED
        assert node.commands[1:] == [("DELETE", f"/api/sessions/{session.session_id}")]

    def test_an_order_that_kills_each_of_its_workers_is_given_up(
        self, node: MisbehavingBridge, session: LinkSession
    ) -> None:
        run_due_tasks()
        order = orders.order(session, Kind.CHECK, why=BridgeOrder.Why.RECOVERY)
        for _ in range(setbacks.CHECK_TRIES):
            assert delivery._claim(order.pk) is not None
            BridgeOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
            delivery.settle(order.pk)
        order.refresh_from_db()
        assert (order.state, order.error) == (State.FAILED, setbacks.DIED)

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
        delivery.settle(order.pk)
        delivery.deliver(order.pk)
        assert start_of(session).state == State.CLAIMED
        assert node.seen == []

    def test_an_order_whose_task_was_lost_is_found(self, node: MisbehavingBridge, session: LinkSession) -> None:
        OrmQ.objects.all().delete()
        assert delivery.sweep() == 1
        run_due_tasks()
        assert start_of(session).state == State.CONFIRMED


def test_the_whole_way_over_a_real_bridge_api(
    node: MisbehavingBridge, portal: Portal, account: Account, session: LinkSession
) -> None:
    run_due_tasks()
    link(portal, session)
    account.refresh_from_db()
    assert account.status == Status.CONNECTED
    assert node.commands == [("POST", "/api/sessions")]
