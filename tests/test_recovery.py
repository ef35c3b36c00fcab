"""Lost, and expected back: what is tried, when, how often, and what it leaves behind (rule 10)."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import delivery, evidence, incidents, leases, recovery
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, Lease, LinkSession, Transition, Workspace
from accounts.models.session import new_session_id
from tests import misbehaving
from tests.conftest import Portal, make_bridge
from tests.misbehaving import MisbehavingBridge, misbehaving_bridge
from tests.queue import run_due_tasks
from tests.test_races import at_once
from tests.test_webhook_contract import link, move_back, status_of

Kind = BridgeOrder.Kind
DROP = {"reason": "NAVIGATION"}


@pytest.fixture
def node() -> Iterator[MisbehavingBridge]:
    with misbehaving_bridge() as node:
        yield node


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    return make_bridge("alpha", url=node.url, last_heard_at=timezone.now(), heard_since=timezone.now())


@pytest.fixture
def linked(portal: Portal, session: LinkSession, node: MisbehavingBridge) -> LinkSession:
    """Linked since yesterday, and heard of all the time."""
    run_due_tasks()
    link(portal, session)
    move_back(session, 86400)
    Bridge.objects.update(heard_since=timezone.now() - timedelta(days=2))
    node.running, node.seen = {session.session_id}, []
    return session


def pass_time(seconds: float) -> None:
    """As if it all had happened so much earlier; the bridge is heard of all the time."""
    shift = timedelta(seconds=seconds)
    Account.objects.update(status_changed_at=F("status_changed_at") - shift)
    BridgeOrder.objects.update(created_at=F("created_at") - shift, due_at=F("due_at") - shift)
    Transition.objects.update(created_at=F("created_at") - shift)
    Lease.objects.update(until=F("until") - shift)
    Bridge.objects.update(last_heard_at=timezone.now())


def recover(bridge: Bridge) -> None:
    recovery.run(bridge.pk)
    run_due_tasks()


def lose(portal: Portal, session: LinkSession, node: MisbehavingBridge, *, listed: str = "disconnected") -> None:
    portal.post("session_disconnected", session, **DROP)
    node.says = {session.session_id: listed}


def orders_of(session: LinkSession) -> list[str]:
    recent = session.orders.filter(why=BridgeOrder.Why.RECOVERY).order_by("pk")
    return list(recent.values_list("kind", flat=True))


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


class TestWhatIsNotTried:
    @pytest.mark.parametrize("reason", ["LOGOUT", "UNPAIRED", "TOS_BLOCK"])
    def test_a_link_that_has_ended(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, reason: str
    ) -> None:
        portal.post("session_disconnected", linked, reason=reason)
        run_due_tasks()
        pass_time(600)
        recover(bridge)
        assert orders_of(linked) == []
        assert recovery.sweep() == 0

    def test_a_link_of_a_silent_bridge_until_it_is_heard_again(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lose(portal, linked, node)
        pass_time(600)
        Bridge.objects.update(last_heard_at=timezone.now() - timedelta(seconds=91))
        recover(bridge)
        assert recovery.sweep() == 0
        assert node.seen == []
        assert orders_of(linked) == []
        assert status_of(linked.account) == Status.DISCONNECTED
        # Heard again: the quick tries begin anew, after its own.
        Bridge.objects.update(last_heard_at=timezone.now(), heard_since=timezone.now())
        recover(bridge)
        assert node.seen == []
        Bridge.objects.update(heard_since=timezone.now() - timedelta(seconds=16))
        recover(bridge)
        assert len(node.commands) == 1

    def test_a_bridge_that_refuses_orders_is_asked_about_one_link_and_its_refusal_counts_as_no_try(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge
    ) -> None:
        sessions = lost_links(bridge, workspace, 4)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1), failing_since=timezone.now())
        recovery.run(bridge.pk)
        assert [orders_of(session) for session in sessions] == [["check"], [], [], []]
        BridgeOrder.objects.update(state=BridgeOrder.State.FAILED, closed_at=timezone.now())
        assert not Account.objects.exclude(status=Status.DISCONNECTED).exists()
        Bridge.objects.update(failing_since=None)
        recovery.run(bridge.pk)
        assert [orders_of(session) for session in sessions] == [["check"], ["check"], [], []]
        assert session_asked(sessions[0]).state == BridgeOrder.State.PENDING  # at once, not in a quarter of an hour

    def test_any_link_while_we_only_observe(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, settings: Any
    ) -> None:
        settings.LINKDESK_RECONCILE = "observe"
        lose(portal, linked, node)
        pass_time(600)
        recover(bridge)
        assert node.seen == []
        settings.LINKDESK_RECONCILE = "act"
        recover(bridge)
        assert len(node.commands) == 1

    @pytest.mark.parametrize("lists_it", [True, False])
    def test_a_link_behind_an_address_of_several_processes(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, lists_it: bool
    ) -> None:
        lose(portal, linked, node)
        node.running = {linked.session_id} if lists_it else set()
        incidents.report(bridge.pk, incidents.Kind.ALTERNATING, summary="test")
        pass_time(16)
        recover(bridge)
        assert [seen.method for seen in node.seen] == ["GET"]  # whichever gets an order may make a second client
        incidents.close(bridge.pk, incidents.Kind.ALTERNATING)
        pass_time(20)
        recover(bridge)
        assert len(node.commands) == 1

    def test_a_scan_of_just_now_that_the_bridge_runs(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        LinkSession.objects.update(authenticated_at=timezone.now())
        lose(portal, linked, node)
        pass_time(16)
        recover(bridge)
        assert [seen.method for seen in node.seen] == ["GET"]  # rule 7: no second socket beside the first
        LinkSession.objects.update(authenticated_at=timezone.now() - timedelta(seconds=121))
        pass_time(20)
        recover(bridge)
        assert len(node.commands) == 1

    def test_but_one_that_the_bridge_has_lost_is_restored(
        self, portal: Portal, bridge: Bridge, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        """Scanned, and the bridge was killed before it was ready: nobody who scanned is thrown away."""
        run_due_tasks()
        portal.post("session_authenticated", session)
        portal.post("session_disconnected", session, **DROP)
        node.seen = []
        pass_time(16)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
        recover(bridge)
        assert node.commands == [("POST", "/api/sessions")]
        assert node.seen[-1].body["session_id"] == session.session_id


def session_asked(session: LinkSession) -> BridgeOrder:
    return session.orders.get(kind=Kind.CHECK)


def lost_links(bridge: Bridge, workspace: Workspace, count: int) -> list[LinkSession]:
    """Linked yesterday, and lost one after the other, the first one an hour ago."""
    now, made = timezone.now(), []
    for number in range(count):
        account = Account.objects.create(workspace=workspace, phone_number=f"62811000{number:04}")
        session = LinkSession.objects.create(
            session_id=new_session_id(workspace.pk), account=account, bridge=bridge,
            authenticated_at=now - timedelta(days=1), connected_at=now - timedelta(days=1),
        )  # fmt: skip
        lost_at = now - timedelta(hours=1) + timedelta(seconds=number)
        Account.objects.filter(pk=account.pk).update(
            status=Status.DISCONNECTED, status_changed_at=lost_at, current_session=session
        )
        made.append(session)
    return made


class TestTurns:
    def test_two_at_once_and_the_others_in_their_order(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge
    ) -> None:
        sessions = lost_links(bridge, workspace, 5)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
        node.running = {session.session_id for session in sessions}
        node.says = dict.fromkeys(node.running, "disconnected")
        node.plays(misbehaving.drops_the_line)  # nobody knows whether it was done: the turn is not over
        for _ in range(2):
            Lease.objects.all().delete()
            recover(bridge)
            told = BridgeOrder.objects.filter(kind=Kind.RECONNECT).order_by("pk")
            assert [order.session for order in told] == sessions[:2]
        node.plays(misbehaving.well)
        for _ in range(8):
            pass_time(121)  # the unclear ones are waited for no longer
            Bridge.objects.update(failing_since=None, orders_wait_until=None)
            delivery.sweep()
            recover(bridge)
        assert {path.split("/")[3] for _, path in node.commands} == node.running

    def test_what_waits_is_looked_at_again_by_one_task_only(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge
    ) -> None:
        lost_links(bridge, workspace, 5)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
        recovery.run(bridge.pk)
        assert leases.take(f"recovery of bridge {bridge.pk}", seconds=1) is None
        asked = BridgeOrder.objects.filter(kind=Kind.CHECK).count()
        for _ in range(10):
            recovery.run(bridge.pk)
        assert BridgeOrder.objects.filter(kind=Kind.CHECK).count() == asked == 2

    def test_a_run_costs_the_same_however_many_are_lost(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge
    ) -> None:
        def cost() -> int:
            Lease.objects.all().delete()
            with CaptureQueriesContext(
                connection,
            ) as queries:
                recovery.run(bridge.pk)
                recovery.sweep()
            return len(queries)

        lost_links(bridge, workspace, 3)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
        recovery.run(bridge.pk)  # the two turns are taken
        few = cost()
        for session in lost_links(bridge, Workspace.objects.create(name="Toko Bob"), 30):
            assert session.pk
        assert cost() == few


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
            return evidence.found_down(session.pk, asked_at=timezone.now(), found="disconnected")

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
