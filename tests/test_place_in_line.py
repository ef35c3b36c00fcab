"""The line before a bridge that is pairing as many as it may: who is admitted, in which order, and what people see."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from accounts import admission, bridge_reports, delivery, leases, pairing, snapshots, tasks
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Transition, User, Workspace
from accounts.pairing import PairingRefused
from accounts.snapshots import View
from tests.api.conftest import program
from tests.conftest import Portal, make_bridge
from tests.misbehaving import MisbehavingBridge, faithful, misbehaving_bridge
from tests.queue import run_due_tasks
from tests.test_races import at_once
from tests.test_webhook_contract import QR, link, move_back, status_of

pytestmark = pytest.mark.django_db
START, STOP = BridgeOrder.Kind.START, BridgeOrder.Kind.STOP


@pytest.fixture
def bridge(bridge: Bridge) -> Bridge:
    """It pairs two at once; its address is nobody's, so that orders stay where they are."""
    Bridge.objects.update(pairings_at_once=2)
    bridge.refresh_from_db()
    return bridge


@pytest.fixture
def line(workspace: Workspace, bridge: Bridge) -> list[LinkSession]:
    """Five, of whom the last three wait."""
    accounts = [Account.objects.create(workspace=workspace) for _ in range(5)]
    return [pairing.start(account.pk, trigger="test") for account in accounts]


def seen(session: LinkSession) -> tuple[View, int]:
    snapshot = snapshots.take(session.account_id)
    return snapshot["view"], snapshot["place"]


def places(sessions: list[LinkSession]) -> list[int]:
    return [seen(session)[1] for session in sessions]


def starts() -> int:
    return BridgeOrder.objects.filter(kind=START).count()


def run_line_tasks(bridge: Bridge) -> None:
    """The tasks of the line only: the orders' own would ask a bridge that is not there."""
    OrmQ.objects.all().delete()
    tasks.advance_line(bridge.pk)


class TestPlaces:
    def test_what_is_too_many_waits_in_order_and_nothing_is_ordered_for_it(self, line: list[LinkSession]) -> None:
        assert [session.admitted_at is not None for session in line] == [True, True, False, False, False]
        assert places(line) == [0, 0, 1, 2, 3]
        assert starts() == 2
        assert seen(line[0]) == (View.PREPARING, 0)
        assert seen(line[2]) == (View.WAITING, 1)
        assert status_of(line[2].account) == Status.QR_SCANNING

    def test_a_link_frees_a_place_for_the_first_and_all_watchers_hear_of_it(
        self, line: list[LinkSession], bridge: Bridge, portal: Portal
    ) -> None:
        versions = [Account.objects.get(pk=session.account_id).version for session in line]
        link(portal, line[0])
        assert places(line) == [0, 0, 1, 2, 3]
        run_due_tasks()
        assert places(line) == [0, 0, 0, 1, 2]
        assert set(BridgeOrder.objects.filter(kind=START).values_list("session", flat=True)) == {
            session.pk for session in line[:3]
        }
        now = [Account.objects.get(pk=session.account_id).version for session in line]
        assert all(after > before for after, before in zip(now[2:], versions[2:], strict=True))

    @pytest.mark.parametrize("how", ["lapse", "reset", "wrong"])
    def test_every_end_advances_the_line(
        self, line: list[LinkSession], bridge: Bridge, portal: Portal, how: str
    ) -> None:
        first = line[0]
        if how == "lapse":
            move_back(first, 61)
            pairing.expire(first.pk)
        elif how == "reset":
            pairing.force_reset(first.account_id)
        else:
            portal.post("session_error", first, error="phone_extraction_failed")
        run_due_tasks()
        assert places(line[1:]) == [0, 0, 1, 2]

    def test_so_does_a_link_that_is_lost_before_it_is_ready(
        self, line: list[LinkSession], bridge: Bridge, portal: Portal
    ) -> None:
        portal.post("session_authenticated", line[0])
        portal.post("session_disconnected", line[0], reason="NAVIGATION")
        run_due_tasks()
        assert places(line[1:]) == [0, 0, 1, 2]

    def test_who_leaves_the_line_is_not_stopped_and_those_behind_move_up(
        self, line: list[LinkSession], bridge: Bridge
    ) -> None:
        pairing.force_reset(line[2].account_id)
        assert places(line[3:]) == [1, 2]
        version = Account.objects.get(pk=line[4].account_id).version
        run_due_tasks()
        assert Account.objects.get(pk=line[4].account_id).version > version
        assert not BridgeOrder.objects.filter(kind=STOP).exists()
        assert starts() == 2

    def test_a_new_code_keeps_the_place_of_the_old_one(self, line: list[LinkSession], bridge: Bridge) -> None:
        renewed = pairing.start(line[1].account_id, trigger="test", force=True)
        assert renewed.admitted_at is not None
        assert places(line[2:]) == [1, 2, 3]

    def test_who_waits_has_no_code_to_renew_and_keeps_the_place(self, line: list[LinkSession]) -> None:
        for how in ({}, {"force": True}, {"force": True, "may_interrupt": True}):
            with pytest.raises(PairingRefused, match="place 2 in line") as refused:
                pairing.start(line[3].account_id, trigger="test", **how)
            assert (refused.value.code, refused.value.retry_after) == ("PAIRING_IN_PROGRESS", 600)
        assert places(line) == [0, 0, 1, 2, 3]

    def test_staff_who_override_leave_the_place(self, line: list[LinkSession]) -> None:
        bob = User.objects.create(username="bob", is_staff=True)
        again = pairing.start(line[3].account_id, trigger="admin", actor=bob, reason="stuck", force=True, override=True)
        assert places([line[2], line[4], again]) == [1, 2, 3]

    def test_one_that_lapsed_goes_to_the_end_of_the_line(self, line: list[LinkSession], bridge: Bridge) -> None:
        move_back(line[0], 61)
        again = pairing.start(line[0].account_id, trigger="test")
        assert places([*line[2:], again]) == [1, 2, 3, 4]
        run_line_tasks(bridge)
        assert places([*line[2:], again]) == [0, 1, 2, 3]

    def test_nobody_overtakes_a_line_that_nobody_has_called_yet(
        self, line: list[LinkSession], bridge: Bridge, workspace: Workspace
    ) -> None:
        Bridge.objects.update(pairings_at_once=3)
        late = pairing.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        assert places([*line[2:], late]) == [1, 2, 3, 4]
        run_due_tasks()  # it has called the first one, too
        assert places([*line[2:], late]) == [0, 1, 2, 3]

    def test_another_bridges_line_is_another_line(self, line: list[LinkSession], workspace: Workspace) -> None:
        other = Bridge.objects.create(name="beta", url="http://127.0.0.1:2", last_heard_at=timezone.now())
        elsewhere = pairing.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        assert (elsewhere.bridge, seen(elsewhere)) == (other, (View.PREPARING, 0))


class TestDeadlines:
    def test_in_line_it_is_ten_minutes_from_the_start(self, line: list[LinkSession]) -> None:
        waiting = line[2]
        assert 595 < (snapshots.take(waiting.account_id)["expires_in"] or 0) <= 600
        move_back(waiting, 599)
        assert not pairing.expire(waiting.pk)
        move_back(waiting, 2)
        snapshot = snapshots.take(waiting.account_id)
        assert (snapshot["view"], snapshot["status"], snapshot["place"]) == (View.UNAVAILABLE, Status.FAILED, 0)
        assert pairing.expire(waiting.pk)
        waiting.refresh_from_db()
        assert waiting.end_reason == EndReason.BRIDGE_UNAVAILABLE
        assert not waiting.orders.exists()

    def test_from_admission_it_is_the_minute_for_the_first_code(self, line: list[LinkSession], bridge: Bridge) -> None:
        move_back(line[2], 300)
        pairing.force_reset(line[0].account_id)
        run_line_tasks(bridge)
        assert 55 < (snapshots.take(line[2].account_id)["expires_in"] or 0) <= 60

    def test_one_whose_time_has_run_out_is_not_admitted(self, line: list[LinkSession], bridge: Bridge) -> None:
        move_back(line[2], 601)
        pairing.force_reset(line[0].account_id)
        run_line_tasks(bridge)
        line[2].refresh_from_db()
        assert line[2].admitted_at is None
        assert places(line[3:]) == [0, 2]  # it still stands there until its deadline is worked off

    def test_its_expiry_is_queued(self, line: list[LinkSession]) -> None:
        run_due_tasks(within=601)  # the tasks are due by then, the deadlines are not
        assert LinkSession.objects.filter(ended_at=None).count() == 5
        LinkSession.objects.update(started_at=timezone.now() - timedelta(seconds=601))
        tasks.expire_overdue()
        assert LinkSession.objects.filter(ended_at=None).count() == 2


class TestStartsOneAtATime:
    """Admitted together, told to the bridge one after the other."""

    def deliver(self, session: LinkSession) -> None:
        session.orders.filter(kind=START).update(due_at=timezone.now())
        delivery.deliver(session.orders.get(kind=START).pk)

    def left(self, session: LinkSession) -> float:
        return snapshots.take(session.account_id)["expires_in"] or 0

    def test_the_minute_for_the_first_code_begins_anew_while_others_are_started(
        self, line: list[LinkSession], bridge: Bridge
    ) -> None:
        leases.take(f"bridge:{bridge.pk}:starts", seconds=600)
        for _ in range(3):
            move_back(line[1], 50)
            self.deliver(line[1])
        assert not pairing.expire(line[1].pk)
        assert seen(line[1]) == (View.PREPARING, 0)
        assert 55 < self.left(line[1]) <= 60

    def test_it_counts_from_the_first_try_and_its_end_is_queued(self, line: list[LinkSession], bridge: Bridge) -> None:
        move_back(line[0], 50)
        self.deliver(line[0])  # refused: nobody is there
        assert 55 < self.left(line[0]) <= 60
        OrmQ.objects.exclude(lock__gt=timezone.now() + timedelta(seconds=55)).delete()
        move_back(line[0], 50)
        Bridge.objects.update(orders_wait_until=None)
        self.deliver(line[0])
        assert line[0].orders.get(kind=START).attempts == 2
        assert self.left(line[0]) <= 10
        move_back(line[0], 11)
        run_due_tasks(within=61)
        line[0].refresh_from_db()
        assert line[0].end_reason == EndReason.BRIDGE_UNAVAILABLE

    def test_nobody_is_put_off_for_longer_than_in_line(self, line: list[LinkSession], bridge: Bridge) -> None:
        leases.take(f"bridge:{bridge.pk}:starts", seconds=600)
        move_back(line[1], 601)
        self.deliver(line[1])
        assert pairing.expire(line[1].pk)


class TestSoftEnds:
    """Who ended softly lives on at the bridge until it is stopped, 15 s later (rule 6)."""

    @pytest.fixture
    def node(self) -> Iterator[MisbehavingBridge]:
        with misbehaving_bridge() as node:
            node.plays(faithful)
            yield node

    @pytest.fixture
    def bridge(self, bridge: Bridge, node: MisbehavingBridge) -> Bridge:
        Bridge.objects.update(url=node.url)
        bridge.refresh_from_db()
        return bridge

    def carry_out_stops(self) -> None:
        BridgeOrder.objects.filter(kind=STOP).update(due_at=timezone.now())
        tasks.sweep_orders()
        run_due_tasks()

    def test_two_who_renew_on_a_full_bridge_both_keep_their_places(self, line: list[LinkSession]) -> None:
        run_due_tasks()
        renewed = [pairing.start(each.account_id, trigger="test", force=True) for each in line[:2]]
        assert [session.waits_in_line for session in renewed] == [False, False]

    def test_whoever_renews_again_and_again_waits_when_the_bridge_is_full_of_them(
        self, account: Account, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        for _ in range(10):
            with suppress(PairingRefused):
                pairing.start(account.pk, trigger="test", force=True)
            run_due_tasks()
        assert len(node.running) == bridge.pairings_at_once
        account.refresh_from_db()
        assert account.current_session is not None
        assert seen(account.current_session) == (View.WAITING, 1)
        self.carry_out_stops()
        assert node.running == {account.current_session.session_id}

    def test_who_was_not_scanned_in_time_keeps_the_place_until_it_is_stopped(
        self, line: list[LinkSession], bridge: Bridge, portal: Portal
    ) -> None:
        run_due_tasks()
        portal.post("qr_code_generated", line[0], **QR)
        move_back(line[0], 121)
        pairing.expire(line[0].pk)
        run_due_tasks()
        assert places(line[2:]) == [1, 2, 3]
        self.carry_out_stops()
        assert places(line[2:]) == [0, 1, 2]

    def test_a_stop_that_fails_keeps_nobody_waiting(
        self, line: list[LinkSession], bridge: Bridge, portal: Portal
    ) -> None:
        portal.post("qr_code_generated", line[0], **QR)
        move_back(line[0], 121)
        pairing.expire(line[0].pk)
        move_back(line[0], 121)
        run_line_tasks(bridge)
        assert places(line[2:]) == [0, 1, 2]


class TestABridgeThatTakesNothingNew:
    @pytest.fixture(params=["draining", "says_draining", "silent"])
    def drained(self, request: pytest.FixtureRequest, bridge: Bridge, line: list[LinkSession]) -> Bridge:
        silent = {"last_heard_at": timezone.now() - timedelta(minutes=10)}
        Bridge.objects.update(**(silent if request.param == "silent" else {request.param: True}))
        bridge.refresh_from_db()
        return bridge

    def test_its_line_goes_to_another_one_in_the_same_order(self, line: list[LinkSession], drained: Bridge) -> None:
        beta = make_bridge("beta", pairings_at_once=2)
        tasks.advance_lines()
        for session in line[2:]:
            session.refresh_from_db()
            assert session.bridge == beta
        tasks.advance_lines()
        assert places(line) == [0, 0, 0, 0, 1]
        assert set(beta.orders.values_list("session", "kind")) == {(line[2].pk, START), (line[3].pk, START)}
        note = line[2].account.transitions.get(trigger="line")
        assert note.reason == "alpha takes nothing new: it waits for beta."

    def test_where_there_is_no_other_it_stays_and_nothing_is_ordered(
        self, line: list[LinkSession], drained: Bridge
    ) -> None:
        pairing.force_reset(line[0].account_id)
        assert tasks.advance_lines() == 0
        assert places(line[2:]) == [1, 2, 3]
        assert starts() == 2


class TestSweep:
    def test_a_lost_task_is_made_up_for(self, line: list[LinkSession], bridge: Bridge) -> None:
        pairing.force_reset(line[0].account_id)
        OrmQ.objects.all().delete()  # the worker was killed with it
        assert tasks.advance_lines() == 1
        assert places(line[1:]) == [0, 0, 1, 2]

    def test_run_again_it_changes_nothing(self, line: list[LinkSession], bridge: Bridge) -> None:
        pairing.force_reset(line[0].account_id)
        tasks.advance_lines()
        before = list(Account.objects.order_by("pk").values_list("version", flat=True)), starts()
        assert tasks.advance_lines() == 0
        assert (list(Account.objects.order_by("pk").values_list("version", flat=True)), starts()) == before


class TestApi:
    def test_pair_tells_the_place(self, line: list[LinkSession], workspace: Workspace) -> None:
        asks = program(workspace)
        answer = asks.post("pair")
        data = answer.json()["data"]
        assert (answer.status_code, data["place"], data["status"]) == (201, 4, "qr_scanning")
        assert 595 < data["expires_in"] <= 600
        assert asks.get("pair", account=data["account"]).json()["data"]["place"] == 4
        error = asks.post("pair", account=data["account"]).json()["error"]
        assert error["code"] == "PAIRING_IN_PROGRESS"
        assert 595 < error["retry_after"] <= 600

    def test_force_finds_no_code_to_renew_and_keeps_the_place(
        self, line: list[LinkSession], workspace: Workspace
    ) -> None:
        asks = program(workspace)
        error = asks.post("pair", account=str(line[3].account.uuid), force=True).json()["error"]
        assert error["code"] == "PAIRING_IN_PROGRESS"
        assert "place 2 in line" in error["message"]
        assert 595 < error["retry_after"] <= 600
        assert places(line) == [0, 0, 1, 2, 3]


@pytest.mark.race
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
class TestRaces:
    @pytest.fixture
    def bridge(self, bridge: Bridge) -> Bridge:
        Bridge.objects.update(pairings_at_once=5)
        bridge.refresh_from_db()
        return bridge

    @pytest.fixture
    def crowd(self, bridge: Bridge) -> list[LinkSession]:
        """Thirty, of thirty workspaces, at the same moment."""
        accounts = [
            Account.objects.create(workspace=Workspace.objects.create(name=f"Toko {number}")) for number in range(30)
        ]
        begun = at_once([partial(pairing.start, account.pk, trigger="test") for account in accounts])
        assert not [result for result in begun if isinstance(result, Exception)]
        return sorted(begun, key=lambda session: session.pk)

    def test_of_thirty_starts_five_are_admitted_and_the_others_have_a_place_each(
        self, crowd: list[LinkSession]
    ) -> None:
        assert sorted(places(crowd)) == [0] * 5 + list(range(1, 26))
        assert starts() == 5

    def test_ends_advance_the_line_in_its_order_and_never_above_the_limit(
        self, crowd: list[LinkSession], bridge: Bridge
    ) -> None:
        admitted = [session for session in crowd if session.admitted_at]
        waiting = [session for session in crowd if not session.admitted_at]

        def leave(session: LinkSession) -> None:
            pairing.force_reset(session.account_id)
            tasks.advance_line(bridge.pk)

        assert at_once([partial(leave, session) for session in admitted]) == [None] * 5
        tasks.advance_line(bridge.pk)
        assert places(waiting) == [0] * 5 + list(range(1, 21))
        assert starts() == 10

    def test_many_sweeps_at_once_admit_each_once(self, crowd: list[LinkSession], bridge: Bridge) -> None:
        for session in crowd:
            if session.admitted_at:
                pairing.force_reset(session.account_id)
        OrmQ.objects.all().delete()
        admitted = at_once([tasks.advance_lines] * 8)
        assert sum(admitted) == 5
        assert starts() == 10
        assert LinkSession.objects.filter(ended_at=None, admitted_at=None).count() == 20

    def test_many_sweeps_at_once_empty_the_line_of_a_draining_bridge_once(
        self, crowd: list[LinkSession], bridge: Bridge
    ) -> None:
        Bridge.objects.update(draining=True)
        beta = make_bridge("beta", pairings_at_once=5)
        OrmQ.objects.all().delete()
        results = at_once([tasks.advance_lines] * 6)
        assert not [result for result in results if isinstance(result, Exception)], results
        tasks.advance_lines()
        assert Transition.objects.filter(trigger="line").count() == 25
        assert beta.sessions.filter(admitted_at__isnull=False).count() == 5
        assert starts() == 10

    def test_new_codes_resets_and_advances_at_once_keep_the_limit(
        self, crowd: list[LinkSession], bridge: Bridge
    ) -> None:
        """Whoever renews locks its account and the bridge; whoever advances too; nobody may lose by it."""

        def renew(session: LinkSession) -> Any:
            try:
                return pairing.start(session.account_id, trigger="test", force=True)
            except PairingRefused as refusal:
                return refusal.code

        def report(session: LinkSession) -> Any:
            return bridge_reports.authenticated(session.pk, device_jid="")

        calls: list[Any] = [partial(renew, session) for session in crowd[:10]]
        calls += [partial(report, session) for session in crowd[:10] if session.admitted_at]
        calls += [partial(pairing.force_reset, session.account_id) for session in crowd[10:20]]
        calls += [tasks.advance_lines] * 4
        results = at_once(calls)
        assert not [result for result in results if isinstance(result, Exception)], results
        pairing_now = LinkSession.objects.filter(bridge=bridge, ended_at=None, admitted_at__isnull=False)
        assert pairing_now.count() <= 5
        assert starts() == LinkSession.objects.filter(admitted_at__isnull=False).count()


def test_a_program_of_another_workspace_is_told_its_place_only(line: list[LinkSession], bridge: Bridge) -> None:
    mallory = program(Workspace.objects.create(name="Toko Mallory"))
    assert mallory.post("pair").json()["data"]["place"] == 4
    assert admission.in_line().count() == 4
