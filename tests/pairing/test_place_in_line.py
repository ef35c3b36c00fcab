"""The line before a bridge that is pairing as many as it may: who is admitted, in which order, and what people see."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from accounts import tasks
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, User, Workspace
from accounts.pairing import attempts, waiting_line
from accounts.pairing.attempts import May, PairingRefused
from accounts.snapshots import View
from tests.api.conftest import program
from tests.support.line import START, STOP, bridge, line, places, run_line_tasks, seen, starts
from tests.support.links import link, move_back, status_of
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "line"]

pytestmark = pytest.mark.django_db


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
        assert {order.session for order in BridgeOrder.objects.filter(kind=START)} == set(line[:3])
        now = [Account.objects.get(pk=session.account_id).version for session in line]
        assert all(after > before for after, before in zip(now[2:], versions[2:], strict=True))

    @pytest.mark.parametrize("how", ["lapse", "reset", "wrong"])
    def test_every_end_advances_the_line(
        self, line: list[LinkSession], bridge: Bridge, portal: Portal, how: str
    ) -> None:
        first = line[0]
        if how == "lapse":
            move_back(first, 61)
            attempts.expire(first.pk)
        elif how == "reset":
            attempts.force_reset(first.account_id)
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

    @pytest.mark.django_db(transaction=True)  # so that what fails is rolled back
    def test_one_that_cannot_be_admitted_holds_up_nobody_behind_it(
        self, line: list[LinkSession], bridge: Bridge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin = waiting_line.begin

        def breaks_for_the_first(session: LinkSession) -> None:
            if session.pk == line[2].pk:
                raise ZeroDivisionError
            begin(session)

        monkeypatch.setattr(waiting_line, "begin", breaks_for_the_first)
        attempts.force_reset(line[0].account_id)
        run_due_tasks()
        waits = [LinkSession.objects.get(pk=session.pk).waits_in_line for session in line[2:]]
        assert waits == [True, False, True]

    def test_who_leaves_the_line_is_not_stopped_and_those_behind_move_up(
        self, line: list[LinkSession], bridge: Bridge
    ) -> None:
        attempts.force_reset(line[2].account_id)
        assert places(line[3:]) == [1, 2]
        version = Account.objects.get(pk=line[4].account_id).version
        run_due_tasks()
        assert Account.objects.get(pk=line[4].account_id).version > version
        assert not BridgeOrder.objects.filter(kind=STOP).exists()
        assert starts() == 2

    def test_a_new_code_keeps_the_place_of_the_old_one(self, line: list[LinkSession], bridge: Bridge) -> None:
        renewed = attempts.start(line[1].account_id, trigger="test", may=May.RENEW)
        assert renewed.admitted_at is not None
        assert places(line[2:]) == [1, 2, 3]

    def test_who_waits_has_no_code_to_renew_and_keeps_the_place(self, line: list[LinkSession]) -> None:
        for may in (May.NOTHING, May.RENEW, May.INTERRUPT):
            with pytest.raises(PairingRefused, match="place 2 in line") as refused:
                attempts.start(line[3].account_id, trigger="test", may=may)
            assert (refused.value.code, refused.value.retry_after) == ("PAIRING_IN_PROGRESS", 600)
        assert places(line) == [0, 0, 1, 2, 3]

    def test_staff_who_override_leave_the_place(self, line: list[LinkSession]) -> None:
        bob = User.objects.create(username="bob", is_staff=True)
        again = attempts.start(line[3].account_id, trigger="admin", actor=bob, reason="stuck", may=May.OVERRIDE)
        assert places([line[2], line[4], again]) == [1, 2, 3]

    def test_one_that_lapsed_goes_to_the_end_of_the_line(self, line: list[LinkSession], bridge: Bridge) -> None:
        move_back(line[0], 61)
        again = attempts.start(line[0].account_id, trigger="test")
        assert places([*line[2:], again]) == [1, 2, 3, 4]
        run_line_tasks(bridge)
        assert places([*line[2:], again]) == [0, 1, 2, 3]

    def test_nobody_overtakes_a_line_that_nobody_has_called_yet(
        self, line: list[LinkSession], bridge: Bridge, workspace: Workspace
    ) -> None:
        Bridge.objects.update(pairings_at_once=3)
        late = attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        assert places([*line[2:], late]) == [1, 2, 3, 4]
        run_due_tasks()  # it has called the first one, too
        assert places([*line[2:], late]) == [0, 1, 2, 3]

    def test_another_bridges_line_is_another_line(self, line: list[LinkSession], workspace: Workspace) -> None:
        other = Bridge.objects.create(name="beta", url="http://127.0.0.1:2", last_heard_at=timezone.now())
        elsewhere = attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        assert (elsewhere.bridge, seen(elsewhere)) == (other, (View.PREPARING, 0))


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
        assert {(order.session, order.kind) for order in beta.orders.all()} == {(line[2], START), (line[3], START)}
        note = line[2].account.transitions.get(trigger="line")
        assert note.reason == "alpha takes nothing new: it waits for beta."

    def test_where_there_is_no_other_it_stays_and_nothing_is_ordered(
        self, line: list[LinkSession], drained: Bridge
    ) -> None:
        attempts.force_reset(line[0].account_id)
        assert tasks.advance_lines() == 0
        assert places(line[2:]) == [1, 2, 3]
        assert starts() == 2


class TestSweep:
    def test_a_lost_task_is_made_up_for(self, line: list[LinkSession], bridge: Bridge) -> None:
        attempts.force_reset(line[0].account_id)
        OrmQ.objects.all().delete()  # the worker was killed with it
        assert tasks.advance_lines() == 1
        assert places(line[1:]) == [0, 0, 1, 2]

    def test_run_again_it_changes_nothing(self, line: list[LinkSession], bridge: Bridge) -> None:
        attempts.force_reset(line[0].account_id)
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


def test_a_program_of_another_workspace_is_told_its_place_only(line: list[LinkSession], bridge: Bridge) -> None:
    mallory = program(Workspace.objects.create(name="Toko Mallory"))
    assert mallory.post("pair").json()["data"]["place"] == 4
    assert waiting_line.in_line().count() == 4
