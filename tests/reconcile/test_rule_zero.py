"""When an event and the record disagree and either may be the newer: ask the bridge, or see which is older."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.lifecycle import READY_WITHIN, SCAN_WITHIN, SOFT_STOP_AFTER, EndReason, Status
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.pairing import attempts
from tests.support.links import QR, READY, link, move_back, status_of
from tests.support.misbehaving import MisbehavingBridge
from tests.support.orders import bridge
from tests.support.portal import PHONE, Portal, make_bridge
from tests.support.queue import run_due_tasks
from webhooks.models import WebhookEvent

__all__ = ["bridge"]

CHECK = BridgeOrder.Kind.CHECK


def numbered(portal: Portal, number: int, event: str, session: LinkSession, **data: Any) -> str:
    body = {"event": event, "data": {"session_id": session.session_id, **data}}
    headers = {"X-Bridge-Boot": "b1", "X-Bridge-Sequence": str(number), "X-Event-Id": f"e{number}"}
    return str(portal.send(body, **headers).json()["outcome"])


@pytest.mark.django_db(transaction=True)
class TestOrder:
    def test_what_is_older_than_what_was_applied_is_stale(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        assert numbered(portal, 1, "session_authenticated", session) == "applied"
        assert numbered(portal, 4, "session_ready", session, **READY) == "applied"
        assert numbered(portal, 3, "session_disconnected", session, reason="NAVIGATION") == "stale"
        assert status_of(account) == Status.CONNECTED
        assert account.transitions.filter(new=Status.DISCONNECTED).count() == 0  # taken back whole
        event = WebhookEvent.objects.get(sequence=3)
        assert (event.state, event.reason) == (WebhookEvent.State.IGNORED, "stale")

    def test_another_run_of_the_bridge_counts_anew(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        numbered(portal, 9, "session_authenticated", session)
        body = {"event": "session_ready", "data": {"session_id": session.session_id, **READY}}
        portal.send(body, **{"X-Bridge-Boot": "b2", "X-Bridge-Sequence": "1", "X-Event-Id": "f1"})
        assert status_of(account) == Status.CONNECTED

    def test_what_says_nothing_makes_nothing_stale(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """A ready that failed once must still link when it is tried again, after events that moved nothing."""
        numbered(portal, 1, "session_authenticated", session)
        numbered(portal, 3, "session_reconnected", session)
        assert numbered(portal, 2, "session_ready", session, **READY) == "applied"
        assert status_of(account) == Status.CONNECTED

    def test_a_scan_that_was_overtaken_is_asked_about(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        numbered(portal, 1, "session_authenticated", session)
        numbered(portal, 4, "session_disconnected", session, reason="NAVIGATION")
        assert numbered(portal, 3, "session_ready", session, **READY) == "stale"
        assert session.orders.filter(kind=CHECK, why="overtaken").exists()


class TestQuestions:
    def linked(self, portal: Portal, session: LinkSession, node: MisbehavingBridge, status: str) -> None:
        run_due_tasks()
        link(portal, session)
        move_back(session, 600)
        node.running, node.says = {session.session_id}, {session.session_id: status}

    def test_a_late_qr_code_of_a_lost_login_ends_the_link(
        self, portal: Portal, account: Account, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        self.linked(portal, session, node, "qr_scanning")
        for _ in range(3):
            assert portal.post("qr_code_generated", session, **QR).json()["outcome"] == "qr_after_scan"
        assert session.orders.filter(kind=CHECK).count() == 1
        run_due_tasks()
        session.refresh_from_db()
        assert session.end_reason == EndReason.LOGGED_OUT

    def test_a_late_qr_code_of_a_session_that_is_connected_is_only_late(
        self, portal: Portal, account: Account, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        self.linked(portal, session, node, "connected")
        portal.post("qr_code_generated", session, **QR)
        run_due_tasks()
        assert status_of(account) == Status.CONNECTED
        assert session.orders.get(kind=CHECK).state == BridgeOrder.State.CONFIRMED

    def test_a_loss_told_twice_is_asked_about(
        self, portal: Portal, account: Account, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        self.linked(portal, session, node, "connected")
        portal.post("session_disconnected", session, reason="NAVIGATION")
        portal.post("session_ready", session, **READY)
        assert portal.post("session_disconnected", session, reason="NAVIGATION").json()["outcome"] == "repeated"
        run_due_tasks()
        assert status_of(account) == Status.CONNECTED

    def test_and_applied_when_the_bridge_says_so(
        self, portal: Portal, account: Account, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        self.linked(portal, session, node, "disconnected")
        portal.post("session_disconnected", session, reason="NAVIGATION")
        portal.post("session_ready", session, **READY)
        portal.post("session_disconnected", session, reason="NAVIGATION")
        run_due_tasks()
        assert status_of(account) == Status.DISCONNECTED

    def test_who_wants_to_pair_a_connected_account_makes_us_look(
        self, portal: Portal, account: Account, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        self.linked(portal, session, node, "connected")
        node.running = set()
        attempts.doubt(account.pk)
        run_due_tasks()
        assert account.transitions.filter(new=Status.DISCONNECTED, trigger="check").exists()
        assert node.seen[-1].path == "/api/sessions"
        assert node.seen[-1].body["session_id"] == session.session_id  # started again, under the same id

    def test_one_absence_alone_proves_nothing(
        self, portal: Portal, account: Account, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        self.linked(portal, session, node, "connected")
        node.running = set()
        portal.post("qr_code_generated", session, **QR)
        run_due_tasks()
        assert status_of(account) == Status.CONNECTED


class TestHangingLinks:
    def test_lost_between_the_scan_and_ready_is_never_ready(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("session_authenticated", session)
        portal.post("session_disconnected", session, reason="NAVIGATION")
        assert status_of(account) == Status.DISCONNECTED
        move_back(session, 91)
        assert attempts.expire(session.pk)
        session.refresh_from_db()
        assert session.end_reason == EndReason.NEVER_READY

    def test_a_stop_that_must_unlink_says_so_each_time(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        attempts.force_reset(account.pk, reason="test")
        session.orders.update(state="failed", closed_at=timezone.now() - timedelta(seconds=90))
        assert account.devices_left() == 1  # nobody has unlinked it
        portal.post("message_received", session, message={"id": "false_1@c.us_AA", "body": "still here"})
        again = session.orders.filter(kind="stop").latest("pk")
        assert (again.state, again.logout) == ("pending", True)
        assert account.devices_left() == 0

    def test_a_bridge_that_is_dead_does_not_attract_every_pairing(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        other = make_bridge("beta", weight=100)
        LinkSession.objects.filter(pk=session.pk).update(bridge=other)
        move_back(session, 61)
        attempts.expire(session.pk)
        assert attempts.start(account.pk, trigger="test").bridge != other

    def test_history_is_not_rewritten_by_a_reset(self, portal: Portal, account: Account, session: LinkSession) -> None:
        portal.post("qr_code_generated", session, **QR)
        move_back(session, 121)
        attempts.expire(session.pk)
        attempts.force_reset(account.pk, reason="test")
        session.refresh_from_db()
        assert session.end_reason == EndReason.QR_EXPIRED


class TestDecoration:
    @pytest.mark.parametrize("platform", ["x" * 33, {"name": "android"}, None, 7])
    def test_it_does_not_cost_the_event(
        self, portal: Portal, account: Account, session: LinkSession, platform: Any
    ) -> None:
        assert portal.post("session_ready", session, **READY | {"platform": platform}).status_code == 200
        assert status_of(account) == Status.CONNECTED

    def test_an_unknown_session_is_answered_before_its_data_is_judged(self, portal: Portal) -> None:
        assert portal.post("session_ready", "nobody", phone_number=[]).json()["outcome"] == "unknown_session"


@pytest.mark.django_db(transaction=True)
class TestLostScan:
    """The bridge could not tell us of the scan, and the attempt has run out: its stop looks at the list first."""

    def lapse(self, session: LinkSession) -> None:
        Portal("alpha-hmac").post("qr_code_generated", session, **QR)
        move_back(session, SCAN_WITHIN + 1)
        attempts.expire(session.pk)
        session.refresh_from_db()
        assert session.end_reason == EndReason.QR_EXPIRED

    def stop(self) -> None:
        BridgeOrder.objects.filter(kind=BridgeOrder.Kind.STOP).update(due_at=timezone.now())
        run_due_tasks(within=SOFT_STOP_AFTER + 1)

    def test_a_scan_that_the_list_shows_is_taken_back(
        self, node: MisbehavingBridge, account: Account, session: LinkSession
    ) -> None:
        self.lapse(session)
        node.running, node.says = {session.session_id}, {session.session_id: "authenticated"}

        self.stop()

        assert status_of(account) == Status.AUTHENTICATED
        assert ("DELETE", f"/api/sessions/{session.session_id}") not in node.commands

    def test_a_code_that_nobody_scanned_is_stopped(
        self, node: MisbehavingBridge, account: Account, session: LinkSession
    ) -> None:
        self.lapse(session)
        node.running = {session.session_id}

        self.stop()

        assert status_of(account) == Status.QR_EXPIRED
        assert ("DELETE", f"/api/sessions/{session.session_id}") in node.commands


@pytest.mark.django_db(transaction=True)
class TestSlowPhone:
    """Scanned, and not ready within 90 s: the attempt has failed, but the phone may only be slow (rule "Soft ends")."""

    @pytest.fixture
    def late(self, portal: Portal, account: Account, session: LinkSession) -> LinkSession:
        portal.post("qr_code_generated", session, **QR)
        portal.post("session_authenticated", session)
        move_back(session, READY_WITHIN + 1)
        attempts.expire(session.pk)
        assert status_of(account) == Status.FAILED
        session.refresh_from_db()
        assert session.end_reason == EndReason.NEVER_READY
        return session

    def test_a_late_ready_links_it(
        self, node: MisbehavingBridge, portal: Portal, account: Account, late: LinkSession
    ) -> None:
        assert portal.post("session_ready", late, **READY).json()["outcome"] == "applied"
        assert status_of(account) == Status.CONNECTED
        run_due_tasks(within=SOFT_STOP_AFTER + 1)
        assert ("DELETE", f"/api/sessions/{late.session_id}") not in node.commands

    def test_so_does_the_list_where_the_ready_was_lost(
        self, node: MisbehavingBridge, account: Account, late: LinkSession
    ) -> None:
        row = {"session_id": late.session_id, "status": "connected", "phone_number": PHONE}
        node.lists = lambda talk, seen: talk.answer(200, {"success": True, "sessions": [row]})

        self.stop()

        assert status_of(account) == Status.CONNECTED
        assert ("DELETE", f"/api/sessions/{late.session_id}") not in node.commands

    @pytest.mark.parametrize("said", ["authenticated", "qr_scanning"])
    def test_one_that_is_no_further_is_stopped(
        self, node: MisbehavingBridge, portal: Portal, account: Account, late: LinkSession, said: str
    ) -> None:
        node.running, node.says = {late.session_id}, {late.session_id: said}
        portal.post("session_authenticated", late, status="authenticated")  # told again: no news

        self.stop()

        assert status_of(account) == Status.FAILED
        assert ("DELETE", f"/api/sessions/{late.session_id}") in node.commands

    def stop(self) -> None:
        BridgeOrder.objects.filter(kind=BridgeOrder.Kind.STOP).update(due_at=timezone.now())
        run_due_tasks(within=SOFT_STOP_AFTER + 1)
