"""Lost, and left alone: the links that recovery does not try, or not yet."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.bridges import incidents
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Workspace
from accounts.reconcile import recovery
from tests.support.links import status_of
from tests.support.losses import DROP, bridge, linked, lose, lost_links, orders_of, pass_time, recover
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked"]

Kind = BridgeOrder.Kind


class TestWhatIsNotTried:
    @pytest.mark.parametrize("reason", ["LOGOUT", "UNPAIRED", "TOS_BLOCK"])
    def test_a_link_that_has_ended(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, reason: str
    ) -> None:
        portal.post("session_disconnected", linked, reason=reason)
        run_due_tasks()
        pass_time(600)
        recover(bridge)
        assert orders_of(linked) == []
        assert recovery.sweep() == 0

    def test_a_link_of_a_silent_bridge_until_it_is_heard_again(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        lose(portal, linked, node)
        pass_time(600)
        Bridge.objects.update(last_heard_at=timezone.now() - timedelta(seconds=91))
        recover(bridge)
        assert recovery.sweep() == 0
        assert node.seen == []
        assert orders_of(linked) == []
        assert status_of(linked.account) == Status.DISCONNECTED
        # Heard again: the quick tries begin anew, after its own.
        Bridge.objects.update(last_heard_at=timezone.now(), heard_since=timezone.now())
        recover(bridge)
        assert node.seen == []
        Bridge.objects.update(heard_since=timezone.now() - timedelta(seconds=16))
        recover(bridge)
        assert len(node.commands) == 1

    def test_a_bridge_that_refuses_orders_is_asked_about_one_link_and_its_refusal_counts_as_no_try(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge
    ) -> None:
        sessions = lost_links(bridge, workspace, 4)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1), failing_since=timezone.now())
        recovery.run(bridge.pk)
        assert [orders_of(session) for session in sessions] == [["check"], [], [], []]
        BridgeOrder.objects.update(state=BridgeOrder.State.FAILED, closed_at=timezone.now())
        assert not Account.objects.exclude(status=Status.DISCONNECTED).exists()
        Bridge.objects.update(failing_since=None)
        recovery.run(bridge.pk)
        assert [orders_of(session) for session in sessions] == [["check"], ["check"], [], []]
        assert session_asked(sessions[0]).state == BridgeOrder.State.PENDING  # at once, not in a quarter of an hour

    def test_any_link_while_we_only_observe(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, settings: Any
    ) -> None:
        settings.LINKDESK_RECONCILE = "observe"
        lose(portal, linked, node)
        pass_time(600)
        recover(bridge)
        assert node.seen == []
        settings.LINKDESK_RECONCILE = "act"
        recover(bridge)
        assert len(node.commands) == 1

    @pytest.mark.parametrize("lists_it", [True, False])
    def test_a_link_behind_an_address_of_several_processes(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, lists_it: bool
    ) -> None:
        lose(portal, linked, node)
        node.running = {linked.session_id} if lists_it else set()
        incidents.report(bridge.pk, incidents.Kind.ALTERNATING, summary="test")
        pass_time(16)
        recover(bridge)
        assert [seen.method for seen in node.seen] == ["GET"]  # whichever gets an order may make a second client
        incidents.close(bridge.pk, incidents.Kind.ALTERNATING)
        pass_time(20)
        recover(bridge)
        assert len(node.commands) == 1

    def test_a_scan_of_just_now_that_the_bridge_runs(
        self, portal: Portal, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        LinkSession.objects.update(authenticated_at=timezone.now())
        lose(portal, linked, node)
        pass_time(16)
        recover(bridge)
        assert [seen.method for seen in node.seen] == ["GET"]  # rule "Quiet time": no second socket beside the first
        LinkSession.objects.update(authenticated_at=timezone.now() - timedelta(seconds=121))
        pass_time(20)
        recover(bridge)
        assert len(node.commands) == 1

    def test_but_one_that_the_bridge_has_lost_is_restored(
        self, portal: Portal, bridge: Bridge, session: LinkSession, node: MisbehavingBridge
    ) -> None:
        """Scanned, and the bridge was killed before it was ready: nobody who scanned is thrown away."""
        run_due_tasks()
        portal.post("session_authenticated", session)
        portal.post("session_disconnected", session, **DROP)
        node.seen = []
        pass_time(16)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
        recover(bridge)
        assert node.commands == [("POST", "/api/sessions")]
        assert node.seen[-1].body["session_id"] == session.session_id


def session_asked(session: LinkSession) -> BridgeOrder:
    return session.orders.get(kind=Kind.CHECK)
