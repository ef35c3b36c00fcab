"""Lost, and expected back: what is tried, when, how often, and what it leaves behind (rule "Recovery")."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Workspace
from accounts.reconcile import opening, recovery
from tests.support.links import status_of
from tests.support.losses import bridge, linked, lose, lost_links, orders_of, pass_time, recover
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks
from tests.support.races import at_once

__all__ = ["bridge", "linked"]

Kind = BridgeOrder.Kind


class TestALostLink:
    def test_is_told_to_connect_again_once_its_bridge_has_had_its_own_try(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lose(portal, linked, node)
        recover(bridge)
        assert node.seen == []
        pass_time(16)
        recover(bridge)
        assert [seen.method for seen in node.seen] == ["GET", "POST"]
        assert node.commands == [("POST", f"/api/sessions/{linked.session_id}/reconnect")]
        assert node.seen[-1].body["account_id"] == linked.account_id
        assert status_of(linked.account) == Status.DISCONNECTED  # only ready connects it

    def test_is_left_alone_when_its_bridge_has_brought_it_back(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lose(portal, linked, node, listed="connected")
        pass_time(16)
        recover(bridge)
        assert status_of(linked.account) == Status.CONNECTED
        assert node.commands == []
        assert recovery.next_try(linked.account) is None

    def test_is_started_under_its_own_id_where_the_bridge_runs_it_no_more(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lose(portal, linked, node)
        node.running = set()
        pass_time(16)
        recover(bridge)
        assert node.commands == [("POST", "/api/sessions")]
        assert node.seen[-1].body["session_id"] == linked.session_id
        assert node.seen[-1].body["account_id"] == linked.account_id

    @pytest.mark.parametrize("reason", ["DEPRECATED_VERSION", "405", "QRScannedWithoutMultidevice", "logged_out"])
    def test_is_tried_whatever_the_bridge_said_of_it(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, reason: str
    ) -> None:
        portal.post("session_disconnected", linked, reason=reason)
        node.says = {linked.session_id: "disconnected"}
        pass_time(16)
        assert recovery.next_try(Account.objects.get(pk=linked.account_id)) is not None
        recover(bridge)
        assert node.commands == [("POST", f"/api/sessions/{linked.session_id}/reconnect")]

    def test_is_left_alone_while_its_client_comes_up(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lose(portal, linked, node)
        pass_time(16)
        recover(bridge)
        node.says = {linked.session_id: "qr_scanning"}
        pass_time(20)
        recover(bridge)
        assert len(node.commands) == 1
        pass_time(60)
        recover(bridge)
        assert len(node.commands) == 2

    def test_is_found_by_the_job_when_the_queue_lost_it(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lose(portal, linked, node)
        run_due_tasks(within=20)  # too early by the clock: nothing came of the hint
        assert node.seen == []
        pass_time(16)
        assert recovery.sweep() == 1
        run_due_tasks()
        assert len(node.commands) == 1

    def test_a_conflict_waits_like_any_other_loss(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        portal.post("session_disconnected", linked, reason="CONFLICT")
        node.says = {linked.session_id: "disconnected"}
        recover(bridge)
        assert node.seen == []
        pass_time(16)
        recover(bridge)
        assert len(node.commands) == 1


class TestSchedule:
    def test_more_and_more_seldom_and_without_end(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lose(portal, linked, node)
        passed, tries = 0.0, []
        for _ in range(8):
            due = recovery.next_try(linked.account)
            linked.account.refresh_from_db()
            assert due is not None
            wait = (due - timezone.now()).total_seconds()
            pass_time(wait + 0.1)
            passed += wait
            tries.append(passed)
            recover(bridge)
        assert tries[:5] == pytest.approx([15, 30, 60, 120, 240], rel=0.1)
        pauses = [later - earlier for earlier, later in itertools.pairwise(tries[4:])]
        assert all(535 <= pause <= 661 for pause in pauses), pauses
        assert len(node.commands) == 8

    def test_a_long_loss_leaves_one_order_a_try_and_one_line_a_day(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lose(portal, linked, node)
        before = linked.account.transitions.count()
        for _ in range(10):
            pass_time(700)
            recover(bridge)
        assert len(node.commands) == 10
        assert len(orders_of(linked)) <= 10
        assert linked.account.transitions.count() == before + 1
        node.says = {linked.session_id: "error"}
        pass_time(700)
        recover(bridge)
        assert linked.account.transitions.count() == before + 2
        pass_time(86400)
        recover(bridge)
        assert linked.account.transitions.count() == before + 3

    def test_those_lost_together_do_not_come_together_for_ever(self) -> None:
        since = timezone.now() - timedelta(hours=2)
        tried_at = since + timedelta(hours=1)
        dues = {recovery._due_at(pk, since=since, tried_at=tried_at) for pk in range(1, 21)}
        assert len(dues) == 20


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_two_tasks_and_the_sweep_order_one_reconnect(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge
    ) -> None:
        session = lost_links(bridge, workspace, 1)[0]
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
        node.running, node.says = {session.session_id}, {session.session_id: "disconnected"}

        def task() -> None:
            recovery._try(session.pk)  # past the lease, as a run that has lost it

        def answered() -> Any:
            return opening.found_down(session.pk, asked_at=timezone.now(), found="disconnected")

        results = at_once([lambda: recovery.run(bridge.pk), task, task, recovery.sweep])
        assert not [result for result in results if isinstance(result, Exception)], results
        assert session.orders.filter(kind=Kind.CHECK).count() == 1
        results = at_once([answered] * 4)
        assert not [result for result in results if isinstance(result, Exception)], results
        assert session.orders.filter(kind=Kind.RECONNECT).count() == 1
        run_due_tasks()
        assert len(node.commands) == 1


def test_a_link_that_is_over_says_so_and_not_when_it_is_tried(
    portal: Portal, linked: LinkSession, account: Account
) -> None:
    portal.post("session_disconnected", linked, reason="LOGOUT")
    linked.refresh_from_db()
    assert linked.end_reason == EndReason.LOGGED_OUT
    account.refresh_from_db()
    assert recovery.next_try(account) is None
