"""Events get lost, come late, twice, out of turn: each account ends as its bridge says that it is."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.reconcile import polling, recovery
from tests.support.faults import breaks, mends, sweep_when_due
from tests.support.links import QR, READY, link, move_back, status_of
from tests.support.losses import pass_time
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import PHONE, Portal, make_bridge
from tests.support.queue import run_due_tasks
from webhooks.models import WebhookEvent

__all__ = ["breaks", "mends"]

DROP = {"reason": "NAVIGATION"}


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    long_ago = timezone.now() - timedelta(days=2)
    return make_bridge("alpha", url=node.url, last_heard_at=timezone.now(), heard_since=long_ago)


@pytest.fixture
def linked(portal: Portal, session: LinkSession, node: MisbehavingBridge) -> LinkSession:
    """Linked since yesterday, and so it is listed."""
    run_due_tasks()
    link(portal, session)
    move_back(session, 86400)
    pass_time(86400)
    WebhookEvent.objects.update(received_at=timezone.now() - timedelta(days=1))
    lists(node, session, "connected")
    node.seen = []
    return session


def lists(node: MisbehavingBridge, session: LinkSession, status: str) -> None:
    node.running, node.says = {session.session_id}, {session.session_id: status}


def poll(bridge: Bridge, *, times: int = 1) -> None:
    """Half a minute apart, as the job does."""
    for _ in range(times):
        pass_time(31)
        LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=2))
        polling.poll(bridge.pk)
        run_due_tasks()


def end_of(session: LinkSession) -> str:
    session.refresh_from_db()
    return session.end_reason


class TestLostLogout:
    """Somebody removed the device on the phone, and the event never arrived."""

    def test_the_bridge_goes_on_with_qr_codes(
        self, portal: Portal, account: Account, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lists(node, linked, "qr_scanning")
        portal.post("qr_code_generated", linked, **QR)
        run_due_tasks()
        assert (status_of(account), end_of(linked)) == (Status.LOGGED_OUT, EndReason.LOGGED_OUT)
        assert node.commands == [("DELETE", f"/api/sessions/{linked.session_id}")]

    def test_its_qr_codes_are_lost_too(
        self, portal: Portal, bridge: Bridge, account: Account, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lists(node, linked, "qr_scanning")
        poll(bridge)
        assert status_of(account) == Status.DISCONNECTED
        pass_time(16)
        recovery.run(bridge.pk)
        run_due_tasks()
        assert node.commands == [("POST", f"/api/sessions/{linked.session_id}/reconnect")]
        portal.post("qr_code_generated", linked, **QR)  # of the new client: no login was left
        run_due_tasks()
        assert (status_of(account), end_of(linked)) == (Status.LOGGED_OUT, EndReason.LOGGED_OUT)

    def test_the_bridge_runs_it_no_more(
        self, portal: Portal, bridge: Bridge, account: Account, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        node.running = set()
        poll(bridge)
        assert status_of(account) == Status.CONNECTED  # one absence proves nothing
        poll(bridge, times=2)
        assert status_of(account) == Status.DISCONNECTED
        assert node.commands == [("POST", "/api/sessions")]
        lists(node, linked, "qr_scanning")
        portal.post("qr_code_generated", linked, **QR)  # started with its login, of which nothing is left
        run_due_tasks()
        assert (status_of(account), end_of(linked)) == (Status.LOGGED_OUT, EndReason.LOGGED_OUT)


class TestLateReady:
    """Ready, then lost; the ready got no answer in time and is sent once more, after the loss."""

    @pytest.mark.parametrize("truth", ["disconnected", "connected"])
    def test_after_a_drop(
        self, portal: Portal, account: Account, linked: LinkSession, node: MisbehavingBridge, truth: str
    ) -> None:
        portal.post("session_disconnected", linked)
        portal.post("session_ready", linked, **READY)  # back at once
        portal.post("session_disconnected", linked, **DROP)
        lists(node, linked, truth)
        portal.post("session_ready", linked, **READY)  # the same ready again, or a new one: nobody can tell
        run_due_tasks()
        assert status_of(account) == truth

    def test_after_a_drop_before_anything_else_was_told(
        self, portal: Portal, account: Account, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        run_due_tasks()
        link(portal, session)
        portal.post("session_disconnected", session, **DROP)
        lists(node, session, "disconnected")
        portal.post("session_ready", session, **READY)
        run_due_tasks()
        assert status_of(account) == Status.DISCONNECTED

    def test_after_a_log_out(
        self, portal: Portal, account: Account, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        portal.post("session_disconnected", linked, reason="LOGOUT")
        assert portal.post("session_ready", linked, **READY).json()["outcome"] == "ended"
        run_due_tasks()
        assert status_of(account) == Status.LOGGED_OUT
        assert ("DELETE", f"/api/sessions/{linked.session_id}") in node.commands


class TestLateDisconnected:
    """Lost, and ready again before the loss was told."""

    def test_that_was_never_told_before(
        self, portal: Portal, bridge: Bridge, account: Account, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        portal.post("session_ready", linked, **READY)
        portal.post("session_disconnected", linked, **DROP)
        pass_time(16)
        recovery.run(bridge.pk)
        run_due_tasks()
        assert status_of(account) == Status.CONNECTED
        assert node.commands == []  # nothing was cut off

    @pytest.mark.parametrize("truth", ["disconnected", "connected"])
    def test_that_was_told_before(
        self, portal: Portal, account: Account, linked: LinkSession, node: MisbehavingBridge, truth: str
    ) -> None:
        portal.post("session_disconnected", linked, **DROP)
        portal.post("session_ready", linked, **READY)
        lists(node, linked, truth)
        assert portal.post("session_disconnected", linked, **DROP).json()["outcome"] == "repeated"
        run_due_tasks()
        assert status_of(account) == truth


class TestOutOfTurnAfterAFailure:
    """The handler failed, later events were applied, and the sweep comes back to the first one."""

    @pytest.mark.parametrize("truth", ["disconnected", "connected"])
    def test_a_ready_older_than_the_loss(
        self, portal: Portal, account: Account, linked: LinkSession, node: MisbehavingBridge, breaks: Any, mends: Any,
        truth: str,
    ) -> None:  # fmt: skip
        breaks("session_ready", RuntimeError("boom"))
        portal.post("session_disconnected", linked)
        portal.post("session_ready", linked, **READY)
        mends("session_ready")
        portal.post("session_disconnected", linked, **DROP)
        lists(node, linked, truth)
        assert sweep_when_due() == 1
        run_due_tasks()
        assert status_of(account) == truth

    @pytest.mark.parametrize("truth", ["disconnected", "connected"])
    def test_a_loss_older_than_the_ready(
        self, portal: Portal, account: Account, linked: LinkSession, node: MisbehavingBridge, breaks: Any, mends: Any,
        truth: str,
    ) -> None:  # fmt: skip
        portal.post("session_disconnected", linked)
        breaks("session_disconnected", RuntimeError("boom"))
        portal.post("session_disconnected", linked, **DROP)
        mends("session_disconnected")
        portal.post("session_ready", linked, **READY)
        lists(node, linked, truth)
        assert sweep_when_due() == 1
        run_due_tasks()
        assert status_of(account) == truth

    def test_a_log_out_older_than_a_ready(
        self, portal: Portal, account: Account, linked: LinkSession, node: MisbehavingBridge, breaks: Any, mends: Any
    ) -> None:
        """It was lost, came back, and the loss that could not be applied said that the device was removed."""
        portal.post("session_disconnected", linked)
        breaks("session_disconnected", RuntimeError("boom"))
        portal.post("session_disconnected", linked, reason="LOGOUT")
        mends("session_disconnected")
        portal.post("session_ready", linked, **READY)
        assert sweep_when_due() == 1
        run_due_tasks()
        assert status_of(account) == Status.CONNECTED

    def test_a_first_ready_older_than_a_loss_links_by_the_number_that_the_bridge_lists(
        self, portal: Portal, account: Account, session: LinkSession, node: MisbehavingBridge, breaks: Any, mends: Any
    ) -> None:
        """Nobody who scanned is thrown away: the bridge has him, and knows his number."""
        run_due_tasks()
        portal.post("session_authenticated", session)
        breaks("session_ready", RuntimeError("boom"))
        portal.post("session_ready", session, **READY)
        mends("session_ready")
        portal.post("session_disconnected", session, **DROP)
        row = {"session_id": session.session_id, "status": "connected", "phone_number": PHONE}
        node.lists = lambda talk, seen: talk.answer(200, {"sessions": [row]})
        assert sweep_when_due() == 1
        run_due_tasks()
        assert status_of(account) == Status.CONNECTED
        assert account.phone_number == PHONE


class TestLostReady:
    def test_a_scan_is_linked_by_the_list_before_it_would_lapse(
        self, portal: Portal, bridge: Bridge, account: Account, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        run_due_tasks()
        portal.post("session_authenticated", session)
        row = {"session_id": session.session_id, "status": "connected", "phone_number": PHONE}
        node.lists = lambda talk, seen: talk.answer(200, {"sessions": [row]})
        poll(bridge)
        assert status_of(account) == Status.CONNECTED
        assert account.phone_number == PHONE

    def test_a_list_without_its_number_links_nobody(
        self, portal: Portal, bridge: Bridge, account: Account, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        run_due_tasks()
        portal.post("session_authenticated", session)
        lists(node, session, "connected")
        poll(bridge)
        assert status_of(account) == Status.AUTHENTICATED

    def test_a_return_is_seen_in_the_list(
        self, portal: Portal, bridge: Bridge, account: Account, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        portal.post("session_disconnected", linked, **DROP)
        poll(bridge)
        assert status_of(account) == Status.CONNECTED
        assert not linked.orders.filter(kind=BridgeOrder.Kind.RECONNECT).exists()
