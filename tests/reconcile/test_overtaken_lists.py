"""What a bridge tells while its list is on its way is newer than the list: the list moves nothing that moved since."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.reconcile import polling, recovery
from tests.support.links import QR, READY, status_of
from tests.support.lists import row, shows
from tests.support.losses import bridge, linked, pass_time
from tests.support.misbehaving import Conversation, MisbehavingBridge, Seen
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked"]

pytestmark = pytest.mark.django_db(transaction=True)

Kind, Why = BridgeOrder.Kind, BridgeOrder.Why
DROP = {"reason": "NAVIGATION"}


def says_once_it_has_read(node: MisbehavingBridge, say: Callable[[], Any], *rows: dict[str, Any]) -> None:
    """Its next list has these rows, and before it arrives the bridge says what has happened since. Later ones too."""
    untold = [say]

    def answer(talk: Conversation, seen: Seen) -> None:
        if seen.path == "/health":
            talk.answer(200, {"status": "healthy", "uptime": 99_999})
            return
        for tell in untold:
            tell()
            connection.close()  # of the server's own thread
        untold.clear()
        talk.answer(200, {"success": True, "sessions": rows, "total": len(rows)})

    node.lists = answer


def is_asked_about_the_loss(bridge: Bridge) -> None:
    pass_time(16)
    recovery.run(bridge.pk)
    run_due_tasks()


class TestAQuestion:
    def test_about_a_loss_whose_link_comes_back_starts_no_second_client(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        portal.post("session_disconnected", linked, **DROP)
        says_once_it_has_read(node, lambda: portal.post("session_ready", linked, **READY))
        is_asked_about_the_loss(bridge)
        assert status_of(linked.account) == Status.CONNECTED
        assert node.commands == []

    def test_nor_cuts_off_one_that_is_just_coming_back(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        portal.post("session_disconnected", linked, **DROP)
        back = partial(portal.post, "session_authenticated", linked)
        says_once_it_has_read(node, back, row(linked, "disconnected"))
        is_asked_about_the_loss(bridge)
        assert node.commands == []

    def test_that_finds_it_connected_does_not_hide_the_next_loss(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        portal.post("session_disconnected", linked, **DROP)
        says_once_it_has_read(node, lambda: comes_and_goes(portal, linked), row(linked))
        is_asked_about_the_loss(bridge)
        assert status_of(linked.account) == Status.DISCONNECTED

    def test_whose_answer_is_late_does_not_lose_what_is_back(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        portal.post("session_disconnected", linked, **DROP)
        portal.post("session_ready", linked, **READY)
        assert portal.post("session_disconnected", linked, **DROP).json()["outcome"] == "repeated"
        says_once_it_has_read(node, lambda: comes_back(portal, linked), row(linked, "disconnected"))
        run_due_tasks()
        assert status_of(linked.account) == Status.CONNECTED

    def test_about_a_late_code_ends_nobody_who_is_back(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        portal.post("qr_code_generated", linked, **QR)
        says_once_it_has_read(node, lambda: comes_back(portal, linked), row(linked, "qr_scanning"))
        run_due_tasks()
        linked.refresh_from_db()
        assert linked.end_reason != EndReason.LOGGED_OUT
        assert status_of(linked.account) == Status.CONNECTED

    def test_about_a_loss_that_has_come_back_before_it_was_asked_proves_nothing_by_one_absence(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        portal.post("session_disconnected", linked, **DROP)
        pass_time(16)
        recovery.run(bridge.pk)
        portal.post("session_ready", linked, **READY)
        shows(node)
        run_due_tasks()
        assert status_of(linked.account) == Status.CONNECTED
        assert node.commands == []


class TestAPoll:
    @pytest.fixture(autouse=True)
    def _long_settled(self, linked: LinkSession) -> None:
        long_ago = timezone.now() - timedelta(hours=1)
        Account.objects.update(status_changed_at=long_ago)
        LinkSession.objects.update(last_seen_at=long_ago, absent_polls=2)

    def test_that_misses_what_is_restored_meanwhile_starts_no_second_client(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        says_once_it_has_read(node, lambda: portal.post("session_ready", linked, **READY))
        polling.poll(bridge.pk)
        run_due_tasks()
        assert status_of(linked.account) == Status.CONNECTED
        assert node.commands == []

    def test_that_lists_as_down_what_comes_back_meanwhile_loses_nobody(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        back = partial(portal.post, "session_ready", linked, **READY)
        says_once_it_has_read(node, back, row(linked, "disconnected"))
        polling.poll(bridge.pk)
        assert status_of(linked.account) == Status.CONNECTED
        polling.poll(bridge.pk)  # it still says so
        assert status_of(linked.account) == Status.DISCONNECTED

    def test_says_when_it_was_asked_not_when_it_was_read(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        asked: list[Any] = []
        says_once_it_has_read(node, lambda: asked.append(timezone.now()), row(linked))
        polling.poll(bridge.pk)
        linked.refresh_from_db()
        assert linked.last_seen_at is not None
        assert linked.last_seen_at < asked[0]


def comes_back(portal: Portal, session: LinkSession) -> None:
    portal.post("session_authenticated", session)
    portal.post("session_ready", session, **READY)


def comes_and_goes(portal: Portal, session: LinkSession) -> None:
    portal.post("session_ready", session, **READY)
    portal.post("session_disconnected", session, reason="CONFLICT")
