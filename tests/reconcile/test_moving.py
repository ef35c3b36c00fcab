"""A link moves to another bridge, and two bridges never run it at once; a bridge is replaced by editing its row."""

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from accounts.delivery import dispatcher
from accounts.lifecycle import EndReason, Status
from accounts.models import Bridge, BridgeOrder, LinkSession, User, Workspace
from accounts.pairing import attempts
from accounts.reconcile import opening, recovery, relocation
from accounts.reconcile.relocation import MoveRefused
from tests.support import misbehaving
from tests.support.links import READY, status_of
from tests.support.losses import pass_time
from tests.support.misbehaving import MisbehavingBridge
from tests.support.moves import START, beta, bridge, calm_down, history, linked, move, other_node
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks
from tests.support.races import assert_nothing_raised, at_once
from webhooks.authentication import forget_secrets

__all__ = ["beta", "bridge", "linked", "other_node"]

Kind, State = BridgeOrder.Kind, BridgeOrder.State


class TestWithItsLogin:
    def test_the_old_bridge_stops_it_then_the_new_one_starts_it(
        self, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        alice = User.objects.create_user("alice")
        assert move(linked, beta, actor=alice) == linked
        assert (node.seen, other_node.seen) == ([], [])
        run_due_tasks(within=10)
        assert node.commands == [("DELETE", f"/api/sessions/{linked.session_id}")]
        assert node.seen[-1].body == {"api_key": "alpha-key"}  # the device stays on the phone
        assert other_node.commands == [START]
        assert other_node.seen[-1].body["session_id"] == linked.session_id
        assert status_of(linked.account) == Status.DISCONNECTED
        forget_secrets()  # as after the 10 s for which they are kept
        Portal("beta-hmac").post("session_ready", linked, **READY)
        assert status_of(linked.account) == Status.CONNECTED
        assert history(linked.account) == [
            "It moves from alpha to beta: first alpha must stop it. Its disk is full.",
            "alpha has stopped it. beta is told to start it.",
        ]
        assert linked.account.transitions.filter(trigger="move", actor=alice).count() == 1

    def test_what_the_old_bridge_still_says_moves_nothing(
        self, portal: Portal, linked: LinkSession, beta: Bridge
    ) -> None:
        move(linked, beta)
        assert portal.post("session_ready", linked, **READY).json()["outcome"] == "unknown_session"
        assert status_of(linked.account) == Status.DISCONNECTED

    def test_the_new_bridge_waits_until_it_is_known_that_the_old_one_has_stopped_it(
        self, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        node.plays(misbehaving.drops_the_line)  # stopped or not, nobody knows
        move(linked, beta)
        run_due_tasks()
        pass_time(30)
        recovery.run(beta.pk)
        relocation.sweep()
        run_due_tasks()
        assert other_node.commands == []
        node.running = set()
        calm_down()
        dispatcher.sweep()
        relocation.sweep()
        run_due_tasks()
        assert linked.orders.get(kind=Kind.STOP).state == State.CONFIRMED
        relocation.sweep()
        run_due_tasks()
        assert other_node.commands == [START]

    def test_a_new_bridge_that_comes_up_meanwhile_does_not_restore_it(
        self, linked: LinkSession, beta: Bridge, portal: Portal
    ) -> None:
        def listed() -> list[str]:
            answer = portal.client.get("/api/whatsapp/accounts/active", headers={"X-API-Key": "beta-key"})
            return [row["session_id"] for row in answer.json()["sessions"]]

        move(linked, beta)
        assert listed() == []
        run_due_tasks(within=10)
        assert listed() == [linked.session_id]

    def test_a_bridge_that_is_down_is_not_waited_for_and_stops_it_when_it_is_back(
        self, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        alpha = Bridge.objects.filter(name="alpha")
        alpha.update(last_heard_at=timezone.now() - timedelta(minutes=5), url="http://127.0.0.1:1")
        move(linked, beta)
        run_due_tasks()
        assert other_node.commands == [START]
        assert linked.orders.get(kind=Kind.STOP).state == State.PENDING
        alpha.update(url=node.url)
        calm_down()
        pass_time(30)
        dispatcher.sweep()
        run_due_tasks()
        assert node.commands == [("DELETE", f"/api/sessions/{linked.session_id}")]

    def test_a_bridge_that_is_up_and_does_not_stop_it_keeps_it(
        self, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        node.plays(misbehaving.status(500))
        move(linked, beta)
        run_due_tasks()
        assert linked.orders.get(kind=Kind.STOP).state == State.PENDING
        pass_time(61)
        calm_down()
        relocation.go_on(linked.pk)
        node.plays(misbehaving.well)
        run_due_tasks(within=5)
        linked.refresh_from_db()
        assert linked.bridge.name == "alpha"
        assert other_node.seen == []
        assert status_of(linked.account) == Status.CONNECTED  # it was asked
        assert "did not say that it has stopped it" in history(linked.account)[-1]
        assert len(node.commands) == 1  # the stop was taken back
        assert linked.orders.get(kind=Kind.STOP).state == State.CANCELLED

    def test_whoever_dies_on_the_way_another_goes_on(
        self, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        move(linked, beta)
        OrmQ.objects.all().delete()
        dispatcher.sweep()
        run_due_tasks()
        OrmQ.objects.all().delete()
        assert (len(node.commands), other_node.commands) == (1, [])
        assert relocation.sweep() == 1
        run_due_tasks()
        OrmQ.objects.all().delete()
        assert other_node.commands == [START]
        assert relocation.sweep() == 0
        relocation.go_on(linked.pk)
        run_due_tasks()
        assert other_node.commands == [START]

    def test_one_that_is_reset_on_the_way_is_not_started(
        self, linked: LinkSession, beta: Bridge, other_node: MisbehavingBridge
    ) -> None:
        move(linked, beta)
        attempts.force_reset(linked.account_id, reason="test")
        run_due_tasks(within=20)
        assert START not in other_node.commands
        assert status_of(linked.account) == Status.INACTIVE


def test_without_its_login_a_phone_scans_on_the_new_bridge(
    linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
) -> None:
    session = move(linked, beta, has_login=False)
    assert session.bridge == beta
    assert session != linked
    assert status_of(linked.account) == Status.QR_SCANNING
    linked.refresh_from_db()
    assert linked.end_reason == EndReason.SUPERSEDED
    run_due_tasks()
    assert node.seen[-1].body["logout"]  # the old device is of no use any more
    assert other_node.seen[-1].body["session_id"] == session.session_id


class TestRefused:
    def refusal(self, session: LinkSession, bridge: Bridge, **values: object) -> str:
        Bridge.objects.filter(pk=bridge.pk).update(**values)
        with pytest.raises(MoveRefused) as refused:
            move(session, bridge)
        assert str(refused.value)
        return refused.value.code

    def test_for_what_the_bridge_is(self, linked: LinkSession, beta: Bridge, bridge: Bridge) -> None:
        assert self.refusal(linked, bridge) == "SAME_BRIDGE"
        assert self.refusal(linked, beta, draining=True) == "BRIDGE_DRAINING"
        assert self.refusal(linked, beta, draining=False, capacity=0) == "BRIDGE_FULL"
        long_ago = timezone.now() - timedelta(seconds=91)
        assert self.refusal(linked, beta, capacity=9, last_heard_at=long_ago) == "BRIDGE_NOT_UP"
        assert not linked.orders.filter(kind=Kind.STOP).exists()
        assert status_of(linked.account) == Status.CONNECTED

    def test_for_whom_it_serves(self, linked: LinkSession, beta: Bridge) -> None:
        beta.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        assert self.refusal(linked, beta) == "BRIDGE_NOT_SERVING"

    def test_for_an_account_that_is_not_linked(self, linked: LinkSession, beta: Bridge) -> None:
        attempts.force_reset(linked.account_id, reason="test")
        assert self.refusal(linked, beta) == "ACCOUNT_NOT_LINKED"

    def test_while_it_moves(self, linked: LinkSession, beta: Bridge, bridge: Bridge) -> None:
        move(linked, beta)
        assert self.refusal(linked, bridge) == "MOVE_IN_PROGRESS"


def test_a_bridge_is_replaced_by_editing_its_row(
    portal: Portal, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
) -> None:
    """Another machine with the old one's session directories: sessions, orders and events go by the row."""
    portal.post("session_disconnected", linked, reason="NAVIGATION")
    Bridge.objects.filter(pk=bridge.pk).update(url=other_node.url)
    bridge.credentials.update(retired_at=timezone.now())
    bridge.credentials.create(kind="api_key", value="new-key")
    bridge.credentials.create(kind="hmac", value="new-hmac")
    pass_time(16)
    Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
    recovery.run(bridge.pk)
    run_due_tasks()
    assert node.seen == []
    assert other_node.commands == [START]
    assert other_node.seen[-1].body["session_id"] == linked.session_id
    assert other_node.seen[-1].body["api_key"] == "new-key"
    forget_secrets()  # as after the 10 s for which they are kept
    assert Portal("new-hmac").post("session_ready", linked, **READY).status_code == 200
    assert status_of(linked.account) == Status.CONNECTED


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_two_tasks_recovery_and_a_reconcile_at_once_start_it_once(
    linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
) -> None:
    move(linked, beta)
    go_on = partial(relocation.go_on, linked.pk)
    why, asked_at = BridgeOrder.Why.RECONCILE, timezone.now()
    found = partial(opening.found_missing, asked_at=asked_at, trigger="test", why=why, reason="test", certain=True)
    missing = partial(found, linked.pk)
    assert_nothing_raised(at_once([go_on, missing, go_on, missing]))
    assert not linked.orders.filter(kind=Kind.START, bridge=beta).exists()
    linked.orders.filter(kind=Kind.STOP).update(state=State.CONFIRMED)
    assert_nothing_raised(at_once([go_on, missing, go_on, missing, go_on]))
    assert linked.orders.filter(kind=Kind.START, bridge=beta).count() == 1
