"""Sessions that a bridge runs and the desk does not know: listed, adopted, stopped by staff and by nobody else."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from accounts.bridges import circuit_breaker
from accounts.jobs import leases
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, Lease, LinkSession, StraySession, User, Workspace
from accounts.reconcile import adoption, polling, unknown
from tests.support.links import link, status_of
from tests.support.lists import beat, bridge, crowd, linked, row, shows
from tests.support.misbehaving import MisbehavingBridge, faithful, status
from tests.support.portal import PHONE, Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.strays import adopt, staff, stray

__all__ = ["bridge", "linked", "staff", "stray"]

pytestmark = pytest.mark.django_db(transaction=True)

Outcome = StraySession.Outcome


def refusal(stray: StraySession, workspace: Workspace, staff: User) -> str:
    with pytest.raises(unknown.NotPossible) as refused:
        adopt(stray, workspace, staff)
    assert not LinkSession.objects.filter(session_id=stray.session_id).exists()
    return str(refused.value)


class TestYesterdaysBackup:
    def test_of_thirty_newer_links_none_is_stopped_and_all_are_listed_and_adopting_links_them(
        self, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, workspace: Workspace, staff: User
    ) -> None:
        older = crowd(linked, 9)
        newer = [row(f"newer-{number}", phone_number=f"62811000{number:04}") for number in range(30)]
        shows(node, row(linked), *[row(name) for name in older], *newer)
        for _ in range(4):
            polling.poll(bridge.pk)
        run_due_tasks()
        assert node.commands == []
        assert StraySession.objects.filter(settled_at=None).count() == 30

        ids = list(StraySession.objects.values_list("pk", flat=True))
        results = adoption.adopt_many(ids, workspace_id=workspace.pk, actor=staff)
        assert results == dict.fromkeys(ids, "")
        phones = Account.objects.filter(status=Status.CONNECTED, sessions__session_id__startswith="newer")
        assert sorted(map(str, phones.values_list("phone_number", flat=True))) == [row["phone_number"] for row in newer]
        for _ in range(4):
            polling.poll(bridge.pk)
        run_due_tasks()
        assert node.commands == []
        assert Account.objects.filter(status=Status.CONNECTED).count() == 40
        assert not StraySession.objects.filter(settled_at=None).exists()


class TestList:
    def test_what_the_bridge_says_of_it(self, stray: StraySession) -> None:
        said = (stray.session_id, stray.status, stray.phone_number, stray.workspace_said)
        assert said == ("newer", "connected", PHONE, "7")

    def test_it_follows_the_bridge(self, stray: StraySession, bridge: Bridge, node: MisbehavingBridge) -> None:
        shows(node, row("newer", "disconnected", phone_number=f"+{PHONE}"))
        polling.poll(bridge.pk)
        stray.refresh_from_db()
        assert (stray.status, stray.phone_number, stray.workspace_said) == ("disconnected", PHONE, "7")
        shows(node)
        polling.poll(bridge.pk)
        stray.refresh_from_db()
        assert stray.outcome == Outcome.GONE
        shows(node, row("newer"))
        polling.poll(bridge.pk)
        stray.refresh_from_db()
        assert (stray.outcome, stray.settled_at) == ("", None)

    def test_a_heartbeat_lists_it_too_and_then_the_bridge_is_asked_whose_it_is(
        self, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        shows(node, row("newer", phone_number=PHONE, workspace_id=7))
        beat("newer")
        run_due_tasks()
        assert bridge.strays.get().phone_number == PHONE
        beat("newer")
        assert bridge.strays.get().phone_number == PHONE
        assert not OrmQ.objects.exists()

    def test_the_next_heartbeat_asks_again_when_the_answer_came_during_another_comparison(
        self, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        shows(node, row("newer", phone_number=PHONE, workspace_id=7))
        beat("newer")
        name = f"reconcile of bridge {bridge.pk}"
        holder = leases.take(name, seconds=60)
        assert holder is not None
        run_due_tasks()
        leases.release(name, holder)
        assert bridge.strays.get().workspace_said == ""
        beat("newer")
        run_due_tasks()
        assert bridge.strays.get().workspace_said == "7"

    def test_a_bridge_that_never_says_whose_it_is_is_not_asked_for_ever(
        self, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        shows(node, row("newer"))
        beat("newer")
        run_due_tasks()
        bridge.strays.update(first_seen_at=timezone.now() - unknown.OWNER_ASKED_FOR)
        beat("newer")
        assert not OrmQ.objects.exists()

    def test_and_it_is_asked_for_the_workspace_where_a_heartbeat_names_the_phone_alone(
        self, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        shows(node, row("newer", phone_number=PHONE, workspace_id=7))
        beat(sessions=[{"session_id": "newer", "status": "connected", "phone_number": PHONE}])
        run_due_tasks()
        assert bridge.strays.get().workspace_said == "7"

    def test_each_bridge_has_its_own(self, stray: StraySession) -> None:
        make_bridge("beta")
        beat("newer", secret="beta")
        assert StraySession.objects.filter(session_id="newer", settled_at=None).count() == 2


class TestMany:
    """A bridge that makes up names fills neither the table nor the page."""

    @pytest.fixture(autouse=True)
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unknown, "MOST_OPEN", 3)

    def test_so_many_are_listed_and_others_when_these_are_settled(self, bridge: Bridge) -> None:
        for _ in range(2):
            beat(*[f"s{number}" for number in range(5)])
        assert StraySession.objects.count() == 3
        unknown.stop(StraySession.objects.earliest("pk").pk)
        beat(*[f"s{number}" for number in range(5)])
        assert StraySession.objects.filter(settled_at=None).count() == 3

    def test_of_those_that_went_by_themselves_the_oldest_are_forgotten(self, bridge: Bridge) -> None:
        beat("stopped")
        unknown.stop(StraySession.objects.get().pk)
        for turn in range(4):
            beat(*[f"s{turn}-{number}" for number in range(3)])
        assert StraySession.objects.filter(outcome=Outcome.GONE).count() == 3
        assert StraySession.objects.filter(outcome=Outcome.STOPPED).exists()


class TestAdopt:
    def test_a_link_that_runs_is_connected(self, stray: StraySession, workspace: Workspace, staff: User) -> None:
        session = adopt(stray, workspace, staff)
        account = Account.objects.get()
        assert (account.phone_number, account.status) == (PHONE, Status.CONNECTED)
        assert account.current_session == session
        assert (session.session_id, session.bridge, session.authenticated_at) == (
            "newer",
            stray.bridge,
            stray.first_seen_at,
        )
        first = account.transitions.order_by("pk")[0]
        assert (first.trigger, first.actor) == ("adopted", staff)
        stray.refresh_from_db()
        assert stray.outcome == Outcome.ADOPTED

    def test_by_the_account_that_has_its_phone(
        self, stray: StraySession, account: Account, workspace: Workspace, staff: User
    ) -> None:
        Account.objects.update(phone_number=PHONE, status=Status.LOGGED_OUT)
        assert adopt(stray, workspace, staff).account == account
        assert status_of(account) == Status.CONNECTED

    def test_not_while_that_one_has_an_open_session(
        self, portal: Portal, stray: StraySession, session: LinkSession, workspace: Workspace, staff: User
    ) -> None:
        link(portal, session)
        assert session.session_id in refusal(stray, workspace, staff)

    def test_one_that_is_down_is_asked_about(
        self, stray: StraySession, workspace: Workspace, staff: User, node: MisbehavingBridge
    ) -> None:
        StraySession.objects.update(status="disconnected")
        session = adopt(stray, workspace, staff)
        assert Account.objects.get().status == Status.DISCONNECTED
        assert session.orders.get().kind == BridgeOrder.Kind.CHECK
        run_due_tasks()  # it lists it as connected meanwhile
        assert Account.objects.get().status == Status.CONNECTED

    def test_one_that_is_down_was_linked_all_the_same(
        self, stray: StraySession, workspace: Workspace, staff: User
    ) -> None:
        StraySession.objects.update(status="disconnected")
        adopt(stray, workspace, staff)
        assert Account.objects.get().first_linked_at == stray.first_seen_at

    @pytest.mark.parametrize(
        "change",
        [
            {"status": "qr_scanning"},
            {"status": ""},
            {"phone_number": ""},
            {"session_id": "../../cleanup/run"},
            {"settled_at": timezone.now(), "outcome": Outcome.GONE},
        ],
    )
    def test_not_what_is_no_link_or_nobodys(
        self, stray: StraySession, workspace: Workspace, staff: User, change: dict[str, str]
    ) -> None:
        StraySession.objects.update(**change)
        stray.refresh_from_db()
        assert refusal(stray, workspace, staff)
        assert not Account.objects.exists()

    def test_not_into_a_workspace_that_its_bridge_does_not_serve(
        self, stray: StraySession, workspace: Workspace, staff: User
    ) -> None:
        stray.bridge.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        assert refusal(stray, workspace, staff)

    def test_many_get_a_word_each(self, stray: StraySession, workspace: Workspace, staff: User) -> None:
        other = StraySession.objects.create(bridge=stray.bridge, session_id="other", status="connected")
        ids = [stray.pk, other.pk, 999_999]
        results = adoption.adopt_many(ids, workspace_id=workspace.pk, actor=staff)
        assert [bool(results[pk]) for pk in ids] == [False, True, True]


class TestStop:
    def test_at_its_bridge(self, stray: StraySession, bridge: Bridge, node: MisbehavingBridge) -> None:
        unknown.stop(stray.pk)
        run_due_tasks()
        assert node.commands == [("DELETE", "/api/sessions/newer")]
        shows(node)
        polling.poll(bridge.pk)
        stray.refresh_from_db()
        assert stray.outcome == Outcome.STOPPED

    def test_again_with_each_list_until_it_is_gone(
        self, stray: StraySession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        node.plays(status(500))
        unknown.stop(stray.pk)
        run_due_tasks()
        Bridge.objects.update(orders_wait_until=None)
        polling.poll(bridge.pk)
        run_due_tasks()
        assert len(node.commands) == 2

    def test_a_bridge_that_fails_at_it_is_left_alone_for_a_while(
        self, stray: StraySession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        node.plays(status(500))
        unknown.stop(stray.pk)
        for _ in range(3):
            run_due_tasks()
            unknown.carry_out_stop(stray.pk)
        bridge.refresh_from_db()
        assert (len(node.commands), circuit_breaker.pause(bridge) > 0) == (1, True)
        Bridge.objects.update(orders_wait_until=None)
        node.plays(faithful)
        unknown.carry_out_stop(stray.pk)
        bridge.refresh_from_db()
        assert (len(node.commands), bridge.failing_since) == (2, None)
        assert not Lease.objects.filter(name__startswith="bridge").exclude(holder="").exists()

    def test_one_that_does_not_stop_waits_for_staff_again(
        self, stray: StraySession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        unknown.stop(stray.pk)
        StraySession.objects.update(settled_at=timezone.now() - timedelta(minutes=11))
        polling.poll(bridge.pk)
        stray.refresh_from_db()
        assert (stray.outcome, stray.settled_at) == ("", None)

    def test_not_one_that_was_adopted_meanwhile(
        self, stray: StraySession, workspace: Workspace, staff: User, node: MisbehavingBridge
    ) -> None:
        adopt(stray, workspace, staff)
        with pytest.raises(unknown.NotPossible):
            unknown.stop(stray.pk)
        StraySession.objects.update(outcome=Outcome.STOPPED)
        unknown.carry_out_stop(stray.pk)
        assert node.commands == []
