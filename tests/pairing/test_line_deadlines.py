"""How long one may wait in line, be started, and keep the place after an end that may be taken back."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from accounts import snapshots, tasks
from accounts.delivery import dispatcher
from accounts.jobs import leases
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.pairing import attempts
from accounts.pairing.attempts import May, PairingRefused
from accounts.snapshots import View
from tests.support.line import START, STOP, bridge, line, places, run_line_tasks, seen
from tests.support.links import QR, move_back
from tests.support.misbehaving import MisbehavingBridge, faithful, misbehaving_bridge
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "line"]

pytestmark = pytest.mark.django_db


class TestDeadlines:
    def test_in_line_it_is_ten_minutes_from_the_start(self, line: list[LinkSession]) -> None:
        waiting = line[2]
        assert 595 < (snapshots.take(waiting.account_id)["expires_in"] or 0) <= 600
        move_back(waiting, 599)
        assert not attempts.expire(waiting.pk)
        move_back(waiting, 2)
        snapshot = snapshots.take(waiting.account_id)
        assert (snapshot["view"], snapshot["status"], snapshot["place"]) == (View.UNAVAILABLE, Status.FAILED, 0)
        assert attempts.expire(waiting.pk)
        waiting.refresh_from_db()
        assert waiting.end_reason == EndReason.BRIDGE_UNAVAILABLE
        assert not waiting.orders.exists()

    def test_from_admission_it_is_the_minute_for_the_first_code(self, line: list[LinkSession], bridge: Bridge) -> None:
        move_back(line[2], 300)
        attempts.force_reset(line[0].account_id)
        run_line_tasks(bridge)
        assert 55 < (snapshots.take(line[2].account_id)["expires_in"] or 0) <= 60

    def test_one_whose_time_has_run_out_is_not_admitted(self, line: list[LinkSession], bridge: Bridge) -> None:
        move_back(line[2], 601)
        attempts.force_reset(line[0].account_id)
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
        dispatcher.deliver(session.orders.get(kind=START).pk)

    def left(self, session: LinkSession) -> float:
        return snapshots.take(session.account_id)["expires_in"] or 0

    def test_the_minute_for_the_first_code_begins_anew_while_others_are_started(
        self, line: list[LinkSession], bridge: Bridge
    ) -> None:
        leases.take(f"bridge:{bridge.pk}:starts", seconds=600)
        for _ in range(3):
            move_back(line[1], 50)
            self.deliver(line[1])
        assert not attempts.expire(line[1].pk)
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
        assert attempts.expire(line[1].pk)


class TestSoftEnds:
    """An attempt that ended softly lives on at the bridge until it is stopped, 15 s later (rule "Soft ends")."""

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
        renewed = [attempts.start(each.account_id, trigger="test", may=May.RENEW) for each in line[:2]]
        assert [session.waits_in_line for session in renewed] == [False, False]

    def test_whoever_renews_again_and_again_waits_when_the_bridge_is_full_of_them(
        self, account: Account, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        for _ in range(10):
            with suppress(PairingRefused):
                attempts.start(account.pk, trigger="test", may=May.RENEW)
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
        attempts.expire(line[0].pk)
        run_due_tasks()
        assert places(line[2:]) == [1, 2, 3]
        self.carry_out_stops()
        assert places(line[2:]) == [0, 1, 2]

    def test_a_stop_that_fails_keeps_nobody_waiting(
        self, line: list[LinkSession], bridge: Bridge, portal: Portal
    ) -> None:
        portal.post("qr_code_generated", line[0], **QR)
        move_back(line[0], 121)
        attempts.expire(line[0].pk)
        move_back(line[0], 121)
        run_line_tasks(bridge)
        assert places(line[2:]) == [0, 1, 2]
