"""What a bridge runs against what the desk believes: each difference ends in what the bridge reports, none in harm."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import bridge_watch, fleet, orders, pairing, polling, reconcile, surplus
from accounts.bridge_client import Running
from accounts.incidents import Kind
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, Incident, LinkSession, ReconcileRun, Workspace
from tests.conftest import PHONE, Portal, make_bridge
from tests.misbehaving import Conversation, MisbehavingBridge, Seen, misbehaving_bridge
from tests.queue import run_due_tasks
from tests.test_hearing import bridge, node, open_kinds, row, shows
from tests.test_heartbeat import beat, crowd, linked, missing_twice
from tests.test_webhook_contract import READY, move_back, status_of
from webhooks.authentication import forget_secrets
from webhooks.models import UnmatchedTraffic

__all__ = ["bridge", "linked", "node"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def beta(linked: LinkSession) -> Iterator[MisbehavingBridge]:
    """A second bridge, beside the one that owns the link."""
    with misbehaving_bridge() as node:
        make_bridge("beta", url=node.url)
        forget_secrets()
        yield node


def poll(*bridges: Bridge) -> None:
    for each in bridges or Bridge.objects.order_by("pk"):
        polling.poll(each.pk)


def settle(seconds: float = 3600) -> None:
    """As if nothing had moved for so long."""
    long_ago = timezone.now() - timedelta(seconds=seconds)
    Account.objects.update(status_changed_at=long_ago)
    LinkSession.objects.update(last_seen_at=long_ago)


def compare(bridge: Bridge, listed: Mapping[str, Running]) -> None:
    reconcile.run(bridge, listed, asked_at=timezone.now())


def starts(node: MisbehavingBridge) -> list[str]:
    return [seen.body["session_id"] for seen in node.seen if seen.method == "POST"]


def newest_reason(account: Account) -> str:
    return account.transitions.order_by("-pk").values_list("reason", flat=True)[0]


class TestTruth:
    """Rule 0: whatever event was lost, came late or twice."""

    def test_a_lost_ready_after_a_drop(
        self, portal: Portal, linked: LinkSession, account: Account, node: MisbehavingBridge
    ) -> None:
        portal.post("session_disconnected", linked, reason="NAVIGATION")
        shows(node, row(linked))
        poll()
        assert status_of(account) == Status.DISCONNECTED  # so short after the loss the list may be older
        settle()
        poll()
        assert status_of(account) == Status.CONNECTED
        assert account.transitions.order_by("-pk")[0].trigger == "reconcile"

    def test_a_late_disconnected_after_a_newer_ready(
        self, portal: Portal, linked: LinkSession, account: Account, node: MisbehavingBridge
    ) -> None:
        portal.post("session_ready", linked, **READY)
        portal.post("session_disconnected", linked, reason="NAVIGATION")
        settle()
        shows(node, row(linked))
        poll()
        assert status_of(account) == Status.CONNECTED

    @pytest.mark.parametrize("said", ["disconnected", "error", "qr_scanning"])
    def test_a_lost_disconnected(
        self, linked: LinkSession, account: Account, node: MisbehavingBridge, said: str
    ) -> None:
        shows(node, row(linked, said))
        poll()
        assert status_of(account) == Status.DISCONNECTED
        assert newest_reason(account) == reconcile.LISTED_AS_DOWN

    @pytest.mark.parametrize("said", ["authenticated", "connected", ""])
    def test_what_is_no_loss_is_none(
        self, linked: LinkSession, account: Account, node: MisbehavingBridge, said: str
    ) -> None:
        shows(node, row(linked, said))
        poll()
        assert status_of(account) == Status.CONNECTED

    def test_a_client_that_is_being_restored_is_left_alone(
        self, linked: LinkSession, account: Account, node: MisbehavingBridge
    ) -> None:
        shows(node, row(linked, "qr_scanning"), uptime=60)
        poll()
        assert status_of(account) == Status.CONNECTED

    def test_a_first_link_whose_ready_was_lost(
        self, portal: Portal, session: LinkSession, account: Account, node: MisbehavingBridge
    ) -> None:
        portal.post("session_authenticated", session)
        settle()
        shows(node, row(session))
        poll()
        assert status_of(account) == Status.AUTHENTICATED  # whose it is decides the phone
        shows(node, row(session, phone_number=PHONE))
        poll()
        assert (status_of(account), account.phone_number) == (Status.CONNECTED, PHONE)


class TestStop:
    def test_a_deleted_session_that_is_back_is_stopped_at_once(
        self, linked: LinkSession, account: Account, node: MisbehavingBridge
    ) -> None:
        pairing.force_reset(account.pk)
        run_due_tasks()
        linked.orders.all().delete()
        shows(node, row(linked))
        poll()
        run_due_tasks()
        assert node.commands[-1] == ("DELETE", f"/api/sessions/{linked}")
        assert node.seen[-1].body["logout"] is True
        assert newest_reason(account) == surplus.ENDED

    def test_too_many_at_once_are_none_and_an_alert(
        self, linked: LinkSession, account: Account, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        ids = crowd(linked, 8)
        LinkSession.objects.filter(session_id__in=ids[:4]).update(ended_at=timezone.now(), end_reason="reset")
        shows(node, *[row(name) for name in ids], row(linked))
        poll()
        assert not BridgeOrder.objects.filter(kind=BridgeOrder.Kind.STOP).exists()
        assert open_kinds(bridge) == {Kind.BRAKE}
        assert "4 sessions" in Incident.objects.get().summary
        shows(node, *[row(name) for name in ids[1:]], row(linked))
        poll()
        assert BridgeOrder.objects.filter(kind=BridgeOrder.Kind.STOP).count() == 3
        assert open_kinds(bridge) == set()


class TestRestore:
    def test_absent_in_three_polls(self, linked: LinkSession, account: Account, node: MisbehavingBridge) -> None:
        shows(node)
        for _ in range(2):
            poll()
        assert status_of(account) == Status.CONNECTED
        poll()
        assert status_of(account) == Status.DISCONNECTED
        run_due_tasks()
        start = next(seen for seen in node.seen if seen.method == "POST")
        owner = {"account_id": account.pk, "workspace_id": account.workspace_id}
        assert start.body == {"session_id": str(linked), "api_key": "alpha-key", **owner}
        assert newest_reason(account) == reconcile.ABSENT

    def test_two_at_once_and_the_others_are_left_to_recovery(
        self, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        crowd(linked, 5)
        missing_twice()
        shows(node)
        poll()
        ordered = BridgeOrder.objects.filter(why=BridgeOrder.Why.RECONCILE)
        assert ordered.count() == 2
        assert set(Account.objects.values_list("status", flat=True)) == {Status.DISCONNECTED}
        poll()
        assert ordered.count() == 2

    def test_a_fresh_start_is_told_so_two_lists_are_enough(
        self, linked: LinkSession, account: Account, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        """Also in the quiet time: what the bridge has lost opens no second socket (rule 7)."""
        LinkSession.objects.update(authenticated_at=timezone.now() - timedelta(seconds=100))
        shows(node, row(linked), boot="b1")
        poll()
        LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=2))
        shows(node, boot="b2", uptime=70)
        poll()
        assert status_of(account) == Status.CONNECTED
        poll()
        assert status_of(account) == Status.DISCONNECTED
        assert newest_reason(account) == reconcile.NOT_RESTORED
        run_due_tasks()
        assert starts(node) == [str(linked)]

    def test_not_while_the_bridge_still_restores_by_itself(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        ids = crowd(linked, 4)
        shows(node, *[row(name) for name in ids], row(linked), boot="b1")
        poll()
        LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
        for done in range(5):  # one more with each list
            shows(node, *[row(name) for name in ids[:done]], boot="b2", uptime=200)
            poll()
        assert not BridgeOrder.objects.filter(why=BridgeOrder.Why.RECONCILE).exists()
        poll()
        run_due_tasks()
        assert starts(node) == [str(linked)]
        assert open_kinds(bridge) == set()

    def test_a_silent_bridge_restores_nothing(
        self, linked: LinkSession, account: Account, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        missing_twice()
        Bridge.objects.update(url="http://127.0.0.1:1")
        for _ in range(4):
            poll()
            bridge_watch.watch()
        assert status_of(account) == Status.CONNECTED
        assert not linked.orders.filter(state=BridgeOrder.State.PENDING).exists()


class TestTwoBridges:
    def test_the_owner_keeps_it_and_the_other_stops(
        self, linked: LinkSession, account: Account, node: MisbehavingBridge, beta: MisbehavingBridge
    ) -> None:
        shows(node, row(linked))
        shows(beta, row(linked))
        poll()
        poll()
        run_due_tasks()
        assert node.commands == []
        assert beta.commands == [("DELETE", f"/api/sessions/{linked}")]
        assert "logout" not in beta.seen[-1].body  # it would unlink the owner's device as well
        assert open_kinds(Bridge.objects.get(name="beta")) == {Kind.CONTESTED}
        assert account.transitions.filter(trigger="contested").count() == 1
        assert status_of(account) == Status.CONNECTED

    def test_nobody_is_stopped_while_the_owner_does_not_run_it(
        self, linked: LinkSession, account: Account, node: MisbehavingBridge, beta: MisbehavingBridge
    ) -> None:
        shows(node)
        shows(beta, row(linked))
        poll()
        run_due_tasks()
        assert beta.commands == []
        assert open_kinds(Bridge.objects.get(name="beta")) == {Kind.CONTESTED}
        assert account.transitions.filter(trigger="contested").count() == 1

    def test_nor_when_it_runs_too_many_such_as_from_a_copy_of_the_folder(
        self, linked: LinkSession, node: MisbehavingBridge, beta: MisbehavingBridge
    ) -> None:
        rows = [row(linked), *[row(name) for name in crowd(linked, 3)]]
        shows(node, *rows)
        shows(beta, *rows)
        for _ in range(3):
            poll()
        run_due_tasks()
        assert beta.commands == []
        assert open_kinds(Bridge.objects.get(name="beta")) == {Kind.CONTESTED}

    def test_events_under_another_bridges_secret_move_nothing_and_are_flagged(
        self, linked: LinkSession, account: Account, beta: MisbehavingBridge
    ) -> None:
        before = account.transitions.count()
        for event in ("session_disconnected", "session_ready", "session_disconnected"):
            answer = Portal("beta-hmac").post(event, linked, reason="LOGOUT", **READY)
            assert answer.json()["outcome"] == "unknown_session"
        assert status_of(account) == Status.CONNECTED
        assert account.transitions.count() == before
        assert UnmatchedTraffic.objects.filter(reason=UnmatchedTraffic.Reason.NOT_OWNER).count() == 2
        incident = Incident.objects.get()
        assert (incident.kind, incident.bridge.name, incident.count) == (Kind.CONTESTED, "beta", 3)

    def test_what_was_moved_away_may_say_its_last_words(self, linked: LinkSession, beta: MisbehavingBridge) -> None:
        other = Bridge.objects.get(name="beta")
        orders.order(linked, BridgeOrder.Kind.STOP, bridge_id=other.pk)
        Portal("beta-hmac").post("session_disconnected", linked, reason="LOGOUT")
        assert open_kinds(other) == set()


class TestSeveralProcesses:
    """As PM2 in cluster mode: one address, and whoever is asked knows only its own."""

    def answers(self, node: MisbehavingBridge, linked: LinkSession, ids: list[str], *turns: int, **said: Any) -> None:
        halves = [[row(linked)], [row(name) for name in ids]]
        for turn in turns:
            shows(node, *halves[turn], **said)
            LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
            poll()

    def test_are_flagged_and_get_no_second_client(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        ids = crowd(linked, 3)
        self.answers(node, linked, ids, 0, 1)
        assert open_kinds(bridge) == set()  # once may be chance
        self.answers(node, linked, ids, 0)
        assert open_kinds(bridge) == {Kind.ALTERNATING}
        self.answers(node, linked, ids, 1, 1, 1, 1, 0, 0, 0, 0, 0)
        run_due_tasks()
        assert node.commands == []
        assert set(Account.objects.values_list("status", flat=True)) == {Status.CONNECTED}

    def test_with_one_flip_an_absence_proves_nothing_yet(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        ids = crowd(linked, 3)
        self.answers(node, linked, ids, 0, 1, 1, 1, 1, 1, 1)
        run_due_tasks()
        assert node.commands == []

    def test_also_when_both_were_just_started(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        ids = crowd(linked, 3)
        started = timezone.now() - timedelta(minutes=6)
        Bridge.objects.update(booted_at=started)
        self.answers(node, linked, ids, 0, 1, 0, 1, 1, 1, 1, uptime=(timezone.now() - started).total_seconds())
        run_due_tasks()
        assert open_kinds(bridge) == {Kind.ALTERNATING}
        assert node.commands == []

    def test_what_we_had_opened_ourselves_is_no_sign(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        for _ in range(3):
            shows(node)
            poll()
            linked.orders.update(created_at=timezone.now())
            shows(node, row(linked))
            poll()
        assert open_kinds(bridge) == set()

    def test_it_is_over_when_they_no_longer_take_turns(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        ids = crowd(linked, 3)
        self.answers(node, linked, ids, 0, 1, 0, 1)
        Incident.objects.update(last_at=timezone.now() - timedelta(minutes=16))
        ReconcileRun.objects.all().delete()
        LinkSession.objects.update(absent_polls=0)
        shows(node, row(linked), *[row(name) for name in ids])
        poll()
        assert open_kinds(bridge) == set()


class TestObserving:
    @pytest.fixture(autouse=True)
    def _observe(self, settings: Any) -> None:
        settings.LINKDESK_RECONCILE = "observe"

    def test_nothing_is_done_and_all_is_written_down(
        self, linked: LinkSession, account: Account, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        ended, *_ = crowd(linked, 1)
        LinkSession.objects.filter(session_id=ended).update(ended_at=timezone.now(), end_reason="reset")
        missing_twice()
        shows(node, row(ended), row("stranger"))
        before = BridgeOrder.objects.count(), account.transitions.count()
        poll()
        run_due_tasks()
        assert (BridgeOrder.objects.count(), account.transitions.count()) == before
        assert status_of(account) == Status.CONNECTED
        assert node.commands == []
        run = ReconcileRun.objects.get()
        assert (run.observing, run.restored, run.stopped, run.unknown, run.absent) == (True, 1, 1, 1, 1)

    def test_a_heartbeat_is_advised_nothing(self, linked: LinkSession, account: Account) -> None:
        missing_twice()
        assert beat().json() == {"success": True, "stop": [], "restore": []}
        pairing.force_reset(account.pk)
        assert beat(str(linked)).json() == {"success": True, "stop": [], "restore": []}


def test_another_word_than_act_or_observe_stops_the_start() -> None:
    environment = os.environ | {"LINKDESK_RECONCILE": "watch"}
    check = subprocess.run(
        [sys.executable, "manage.py", "check"], env=environment, capture_output=True, text=True, check=False
    )
    assert check.returncode != 0
    assert "LINKDESK_RECONCILE must be act or observe, not 'watch'." in check.stderr


class TestSummary:
    def test_is_kept_when_something_is_new_and_now_and_then(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        shows(node, row(linked))
        for _ in range(3):
            poll()
        run = ReconcileRun.objects.get()
        assert (run.expected, run.running, run.absent, run.restored) == (1, 1, 0, 0)
        shows(node, row(linked), row("stranger"))
        poll()
        assert ReconcileRun.objects.count() == 2
        ReconcileRun.objects.update(at=timezone.now() - timedelta(minutes=11))
        poll()
        assert ReconcileRun.objects.count() == 3


def test_a_long_list_of_moves_is_done_in_several_runs(
    linked: LinkSession, node: MisbehavingBridge, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat waits for its answer."""
    monkeypatch.setattr(reconcile, "MOVES_AT_ONCE", 4)
    monkeypatch.setattr(reconcile, "AGAIN", (0, 0))
    ids = crowd(linked, 9)
    shows(node, row(linked, "disconnected"), *[row(name, "disconnected") for name in ids])
    poll()
    lost = Account.objects.filter(status=Status.DISCONNECTED)
    assert lost.count() == 4
    move_back(linked, 0)
    run_due_tasks(within=2)
    assert lost.count() == 10


def test_a_bridge_that_makes_up_names_is_not_asked_without_end(bridge: Bridge, node: MisbehavingBridge) -> None:
    numbers = itertools.count()

    def answer(talk: Conversation, seen: Seen) -> None:
        rows = [row(f"made-up-{next(numbers)}")] if seen.path != "/health" else []
        talk.answer(200, {"status": "healthy", "sessions": rows})

    node.lists = answer
    poll()
    assert run_due_tasks(within=30) == 0
    beat("made-up-by-a-heartbeat")
    assert run_due_tasks(within=30) == 1


def queries_of(do: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        do()
    return len(queries)


class TestCost:
    @pytest.mark.parametrize("size", [50, 500])
    def test_where_nothing_differs_it_is_the_same_however_many_there_are(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge, size: int
    ) -> None:
        ids = [str(linked), *crowd(linked, size - 1)]
        shows(node, *[row(name) for name in ids])
        listed = {name: Running(name, "connected") for name in ids}
        poll()
        forget_secrets()
        beat(*ids)
        fleet._heard[bridge.pk] = time.monotonic()  # that and the secrets are asked for every 10 s, and are not counted
        ways = (lambda: beat(*ids), poll, lambda: compare(bridge, listed))
        assert [queries_of(way) for way in ways] == [21, 30, 16]

    def test_and_what_differs_is_put_right_so_many_at_once(
        self, linked: LinkSession, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A heartbeat waits for its answer."""
        ids = crowd(linked, 60)
        down = {name: Running(name, "disconnected") for name in ids}
        assert queries_of(lambda: compare(bridge, down)) < 10 * reconcile.MOVES_AT_ONCE
        Account.objects.update(status=Status.CONNECTED)
        settle()
        missing_twice()
        assert queries_of(lambda: compare(bridge, {})) < 10 * reconcile.MOVES_AT_ONCE
        BridgeOrder.objects.all().delete()
        LinkSession.objects.filter(session_id__in=ids).update(ended_at=timezone.now(), end_reason="reset")
        ended = {name: Running(name, "qr_scanning") for name in ids}
        assert queries_of(lambda: compare(bridge, ended)) < 30  # too many: none is stopped
        monkeypatch.setattr(surplus, "STOPS_SHARE", 1)
        for told in (1, 2, 3):
            assert queries_of(lambda: compare(bridge, ended)) < 15 * surplus.AT_ONCE + 30
            assert BridgeOrder.objects.filter(kind=BridgeOrder.Kind.STOP).count() == told * surplus.AT_ONCE
        assert queries_of(lambda: compare(bridge, ended)) < 30  # all are under way
