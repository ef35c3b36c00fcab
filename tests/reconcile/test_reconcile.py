"""What a bridge runs against what the desk believes: each difference ends in what the bridge reports, none in harm."""

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.bridges import watch
from accounts.bridges.incidents import Kind
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, Incident, LinkSession, ReconcileRun
from accounts.pairing import attempts
from accounts.reconcile import run as reconcile
from accounts.reconcile import unwanted
from tests.support.links import READY, status_of
from tests.support.lists import beat, bridge, crowd, linked, missing_twice, open_kinds, poll, row, settle, shows
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import PHONE, Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked"]

pytestmark = pytest.mark.django_db(transaction=True)


def starts(node: MisbehavingBridge) -> list[str]:
    return [seen.body["session_id"] for seen in node.seen if seen.method == "POST"]


def newest_reason(account: Account) -> str:
    return account.transitions.order_by("-pk").values_list("reason", flat=True)[0]


class TestTruth:
    """Rule "Ask the bridge": whatever event was lost, came late or twice."""

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
        attempts.force_reset(account.pk)
        run_due_tasks()
        linked.orders.all().delete()
        shows(node, row(linked))
        poll()
        run_due_tasks()
        assert node.commands[-1] == ("DELETE", f"/api/sessions/{linked}")
        assert node.seen[-1].body["logout"] is True
        assert newest_reason(account) == unwanted.ENDED

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
        """Also in the quiet time: what the bridge has lost opens no second socket (rule "Quiet time")."""
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
            watch.watch()
        assert status_of(account) == Status.CONNECTED
        assert not linked.orders.filter(state=BridgeOrder.State.PENDING).exists()


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
        attempts.force_reset(account.pk)
        assert beat(str(linked)).json() == {"success": True, "stop": [], "restore": []}


def test_another_word_than_act_or_observe_stops_the_start() -> None:
    environment = os.environ | {"LINKDESK_RECONCILE": "watch"}
    check = subprocess.run(
        [sys.executable, "manage.py", "check"], env=environment, capture_output=True, text=True, check=False
    )
    assert check.returncode != 0
    assert "LINKDESK_RECONCILE must be act or observe, not 'watch'." in check.stderr
