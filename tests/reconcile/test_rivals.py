"""A bridge runs a link that another one owns, as after yesterday's backup: nothing is opened at the owner, and what is
connected there is not stopped for a guess."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from accounts.bridges.client import Running
from accounts.lifecycle import EndCause, EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Workspace
from accounts.pairing import attempts
from accounts.reconcile import heartbeat, opening, polling, recovery, relocation, run, session_list, unwanted
from accounts.reconcile.lost_logins import RUNS_ELSEWHERE, SHOWED_CODE
from accounts.reconcile.said import Said
from tests.support.links import QR, status_of
from tests.support.lists import advice, beat, bridge, crowd, linked, missing_twice
from tests.support.losses import pass_time
from tests.support.misbehaving import MisbehavingBridge, faithful, misbehaving_bridge
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.races import at_once
from tests.support.recorded import send
from webhooks.authentication import forget_secrets

__all__ = ["bridge", "linked"]

pytestmark = pytest.mark.django_db(transaction=True)

START = ("POST", "/api/sessions")


@pytest.fixture
def other_node() -> Iterator[MisbehavingBridge]:
    with misbehaving_bridge() as node:
        yield node


@pytest.fixture
def beta(linked: LinkSession, other_node: MisbehavingBridge) -> Bridge:
    """It runs the link, and alpha, whose it is, does not."""
    Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
    beta = make_bridge("beta", url=other_node.url)
    forget_secrets()
    other_node.plays(faithful)
    other_node.running, other_node.says = {linked.session_id}, {linked.session_id: "connected"}
    return beta


def beta_lists(session: LinkSession, status: str = "connected") -> Any:
    return beat(sessions=[{"session_id": session.session_id, "status": status}], secret="beta")


def as_if_seen(session: LinkSession, *, seconds: float) -> None:
    LinkSession.objects.filter(pk=session.pk).update(rival_seen_at=timezone.now() - timedelta(seconds=seconds))


class TestAtItsOwner:
    def test_it_is_not_opened_until_three_lists_of_the_other_are_without_it(
        self, linked: LinkSession, beta: Bridge, account: Account
    ) -> None:
        missing_twice()
        beta_lists(linked)
        assert advice() == ([], [])
        assert not linked.orders.filter(why=BridgeOrder.Why.RECONCILE).exists()
        as_if_seen(linked, seconds=91)
        Account.objects.update(status_changed_at=timezone.now() - timedelta(seconds=91))
        assert advice() == ([], [linked.session_id])

    def test_nor_does_it_restore_it_when_it_starts(self, linked: LinkSession, beta: Bridge) -> None:
        """Without its login a Node bridge would show a code, list it, and so have it stopped at the other."""
        [row] = send("accounts_active", linked).json()["sessions"]
        assert row["session_id"] == linked.session_id
        beta_lists(linked)
        assert send("accounts_active", linked).json()["sessions"] == []

    def test_it_is_lost_for_now_in_the_record(self, linked: LinkSession, beta: Bridge, account: Account) -> None:
        """What is sent through its owner cannot arrive."""
        missing_twice()
        beta_lists(linked)
        advice()
        assert status_of(account) == Status.DISCONNECTED

    @pytest.mark.parametrize("status", ["disconnected", "error", "qr_scanning"])
    def test_what_does_not_run_at_the_other_is_no_rival(self, linked: LinkSession, beta: Bridge, status: str) -> None:
        """A Node bridge leaves a lost session in its list for ever."""
        missing_twice()
        beta_lists(linked, status)
        assert advice() == ([], [linked.session_id])

    def test_a_day_later_it_is_forgotten(self, linked: LinkSession, beta: Bridge) -> None:
        as_if_seen(linked, seconds=86401)
        Bridge.objects.update(heard_since=timezone.now())
        assert len(send("accounts_active", linked).json()["sessions"]) == 1

    def test_staff_are_told_what_to_do(self, linked: LinkSession, beta: Bridge, account: Account) -> None:
        beta_lists(linked)
        reason = account.transitions.get(trigger="contested").reason
        assert reason.endswith("its owner does not list it. If the login is there, move the account there.")

    def test_also_while_observing(
        self, linked: LinkSession, beta: Bridge, account: Account, other_node: MisbehavingBridge, settings: Any
    ) -> None:
        settings.LINKDESK_RECONCILE = "observe"
        beat(str(linked))  # its owner lists it too
        assert beta_lists(linked).json()["stop"] == []
        reason = account.transitions.get(trigger="contested").reason
        assert reason.endswith("this desk only observes. If the login is there, move the account there.")
        run_due_tasks()
        assert other_node.commands == []

    def test_of_all_however_many_there_are(self, linked: LinkSession, beta: Bridge) -> None:
        names = crowd(linked, 2 * unwanted.AT_ONCE)
        rows = [{"session_id": name, "status": "connected"} for name in names]
        for _ in range(20):
            beat(sessions=rows, secret="beta")
        told = Account.objects.filter(transitions__trigger="contested").distinct()
        assert told.count() > 1.9 * unwanted.AT_ONCE  # by chance: 20 of 40 each time

    @pytest.mark.parametrize("listed", ["", "disconnected"])
    def test_nor_by_recovery(
        self, portal: Portal, linked: LinkSession, beta: Bridge, bridge: Bridge, node: MisbehavingBridge, listed: str
    ) -> None:
        portal.post("session_disconnected", linked, reason="NAVIGATION")
        LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=2))
        beta_lists(linked)
        node.running, node.says = ({linked.session_id} if listed else set()), {linked.session_id: listed}
        pass_time(16)
        recovery.run(bridge.pk)
        run_due_tasks()
        assert [seen.path for seen in node.seen] == ["/api/sessions"]  # it was asked
        assert node.commands == []

    def test_what_waits_there_for_a_scan_keeps_nobody_from_it(self, linked: LinkSession, beta: Bridge) -> None:
        missing_twice()
        beta_lists(linked, "qr_scanning")
        assert advice() == ([], [linked.session_id])

    def test_nor_does_a_bridge_that_does_not_serve_its_workspace(self, linked: LinkSession, beta: Bridge) -> None:
        beta.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        missing_twice()
        beta_lists(linked)
        assert advice() == ([], [linked.session_id])

    def test_after_a_time_when_nobody_was_heard_its_list_may_come_first(
        self, linked: LinkSession, beta: Bridge
    ) -> None:
        missing_twice()
        as_if_seen(linked, seconds=600)
        Bridge.objects.update(last_heard_at=timezone.now() - timedelta(minutes=9))
        assert advice() == ([], [])
        assert beta_lists(linked).status_code == 200
        assert advice() == ([], [])

    def test_what_was_seen_while_observing_counts(self, linked: LinkSession, beta: Bridge, settings: Any) -> None:
        settings.LINKDESK_RECONCILE = "observe"
        missing_twice()
        beta_lists(linked)
        settings.LINKDESK_RECONCILE = "act"
        assert advice() == ([], [])

    def test_many_of_them_keep_no_other_link_from_its_start(
        self, linked: LinkSession, beta: Bridge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run, "MOVES_AT_ONCE", 4)
        *_theirs, mine = crowd(linked, 5)
        LinkSession.objects.exclude(session_id=mine).update(rival_seen_at=timezone.now())
        missing_twice()
        assert advice() == ([], [mine])

    def test_it_is_written_at_most_every_20_seconds(self, linked: LinkSession, beta: Bridge) -> None:
        def seen_at() -> Any:
            beta_lists(linked)
            return LinkSession.objects.values_list("rival_seen_at", flat=True).get()

        first = seen_at()
        assert seen_at() == first
        as_if_seen(linked, seconds=21)
        assert seen_at() > first


class TestMovedToTheOther:
    def test_it_is_stopped_at_its_owner_and_left_alone_where_it_runs(
        self, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        beta_lists(linked)
        relocation.move(linked.account_id, beta.pk, actor=None, reason="It runs there.", has_login=True)
        linked.refresh_from_db()
        assert linked.rival_seen_at is None
        run_due_tasks(within=10)
        assert node.commands == [("DELETE", f"/api/sessions/{linked.session_id}")]
        assert other_node.commands == []
        Account.objects.update(status_changed_at=timezone.now() - timedelta(minutes=1))
        beta_lists(linked)
        assert status_of(linked.account) == Status.CONNECTED


class TestACodeAtItsOwner:
    """It has no login, and was told to start it, by us or by its own list."""

    def shows(self, portal: Portal, node: MisbehavingBridge, session: LinkSession) -> str:
        node.running, node.says = {session.session_id}, {session.session_id: "qr_scanning"}
        portal.post("qr_code_generated", session, **QR)
        run_due_tasks()
        session.refresh_from_db()
        return session.end_reason

    def test_ends_nothing(
        self, portal: Portal, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        beta_lists(linked)
        assert self.shows(portal, node, linked) == ""
        assert status_of(linked.account) == Status.DISCONNECTED
        assert linked.transitions.latest("pk").reason == RUNS_ELSEWHERE
        for _ in range(3):  # its owner lists it now, as waiting for a scan
            beat(sessions=[{"session_id": linked.session_id, "status": "qr_scanning"}])
            beta_lists(linked)
            run_due_tasks()
        assert other_node.commands == []
        assert status_of(linked.account) == Status.DISCONNECTED

    @pytest.mark.parametrize("since", ["connected there", "a day"])
    def test_but_later_it_does(
        self, portal: Portal, linked: LinkSession, beta: Bridge, node: MisbehavingBridge, since: str
    ) -> None:
        beta_lists(linked)
        if since == "a day":
            as_if_seen(linked, seconds=86401)
        else:
            portal.post("session_disconnected", linked, reason="NAVIGATION")
            session_list.found_connected(linked.pk, asked_at=timezone.now(), trigger="check")
        assert self.shows(portal, node, linked) == EndReason.LOGGED_OUT


class TestOneThatHasEnded:
    @pytest.fixture
    def guessed(self, linked: LinkSession) -> LinkSession:
        guess = {"end_reason": EndReason.LOGGED_OUT, "end_cause": EndCause.SHOWED_CODE, "end_detail": SHOWED_CODE}
        LinkSession.objects.update(ended_at=timezone.now() - timedelta(minutes=5), **guess)
        Account.objects.update(status=Status.LOGGED_OUT)
        return linked

    def stops(self, beta: Bridge) -> int:
        return BridgeOrder.objects.filter(kind=BridgeOrder.Kind.STOP, bridge=beta).count()

    def test_for_a_code_alone_is_only_flagged_where_it_is_connected(self, guessed: LinkSession, beta: Bridge) -> None:
        assert beta_lists(guessed).json()["stop"] == []
        assert self.stops(beta) == 0
        assert "ended here for a QR code alone" in guessed.account.transitions.get(trigger="contested").reason

    def test_is_stopped_where_it_is_not(self, guessed: LinkSession, beta: Bridge) -> None:
        assert beta_lists(guessed, "qr_scanning").json()["stop"] == [guessed.session_id]

    @pytest.mark.parametrize("ended", [{"end_detail": "LOGOUT"}, {"end_reason": EndReason.RESET}])
    def test_is_stopped_where_that_was_no_guess(
        self, guessed: LinkSession, beta: Bridge, ended: dict[str, str]
    ) -> None:
        LinkSession.objects.update(end_cause="", **ended)
        assert beta_lists(guessed).json()["stop"] == [guessed.session_id]
        assert self.stops(beta) == 1

    def test_a_reset_stops_it_here_and_then_there(self, linked: LinkSession, beta: Bridge) -> None:
        beta_lists(linked)
        attempts.force_reset(linked.account_id)
        assert beta_lists(linked).json()["stop"] == [linked.session_id]


def test_yesterdays_backup_ends_no_link_that_was_moved_since(
    portal: Portal, linked: LinkSession, beta: Bridge, bridge: Bridge, node: MisbehavingBridge,
    other_node: MisbehavingBridge,
) -> None:  # fmt: skip
    """Both give their lists again and again; alpha would run what it is told to run, and show a code for it."""
    node.plays(faithful)
    for _ in range(5):
        pass_time(31)
        LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=2))
        for each in (beta, bridge):
            polling.poll(each.pk)
        recovery.run(bridge.pk)
        run_due_tasks()
        if node.running:
            portal.post("qr_code_generated", linked, **QR)
            run_due_tasks()
    assert (node.commands, other_node.commands) == ([], [])
    assert LinkSession.objects.get().end_reason == ""


@pytest.mark.race
def test_whoever_is_first_the_link_lives(
    portal: Portal, linked: LinkSession, beta: Bridge, bridge: Bridge, node: MisbehavingBridge,
    other_node: MisbehavingBridge,
) -> None:  # fmt: skip
    """The third list of its owner without it, and the first of the other, at the same moment."""
    node.plays(faithful)
    missing_twice()
    listed = {linked.session_id: Running(linked.session_id, "connected")}
    there: Callable[[], object] = partial(heartbeat.hear, beta.pk, Said(listed=listed), heartbeat=True)
    owner: Callable[[], object] = partial(
        opening.found_missing, linked.pk, asked_at=timezone.now(), trigger="test",
        why=BridgeOrder.Why.RECONCILE, reason="test",
    )  # fmt: skip
    raised = [result for result in at_once([there, owner, there, owner]) if isinstance(result, Exception)]
    assert not raised
    run_due_tasks()
    assert node.commands in ([], [START])
    portal.post("qr_code_generated", linked, **QR)
    run_due_tasks()
    assert LinkSession.objects.get().end_reason == ""
    assert other_node.commands == []
