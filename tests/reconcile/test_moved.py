"""After a move: the session stays where it went, unless its login is not there."""

from datetime import timedelta

from django.utils import timezone

from accounts.bridges import ownership
from accounts.housekeeping import retention
from accounts.lifecycle import EndReason, Status
from accounts.models import Bridge, BridgeOrder, LinkSession
from accounts.reconcile import recovery, relocation
from tests.support.links import QR, READY, status_of
from tests.support.losses import pass_time
from tests.support.misbehaving import MisbehavingBridge
from tests.support.moves import START, beta, bridge, history, linked, move, other_node
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks
from webhooks.authentication import forget_secrets

__all__ = ["beta", "bridge", "linked", "other_node"]

Kind, State = BridgeOrder.Kind, BridgeOrder.State


def test_it_stays_with_the_new_one_when_retention_deletes_what_moved_it(
    linked: LinkSession, beta: Bridge, bridge: Bridge
) -> None:
    away = timezone.now() - timedelta(minutes=5)
    Bridge.objects.filter(pk=bridge.pk).update(last_heard_at=away, url="http://127.0.0.1:1")
    move(linked, beta)
    run_due_tasks()
    forget_secrets()
    Portal("beta-hmac").post("session_ready", linked, **READY)
    long_ago = timezone.now() - timedelta(days=90, hours=12)
    linked.orders.update(created_at=long_ago)
    linked.orders.exclude(kind=Kind.STOP).update(state=State.CONFIRMED, closed_at=long_ago)
    given_up = long_ago + timedelta(days=1)  # the stop, after a day of silence
    linked.orders.filter(kind=Kind.STOP).update(state=State.FAILED, closed_at=given_up)
    retention.run()
    assert linked.orders.get().kind == Kind.STOP
    assert list(ownership.resumable(beta.pk)) == [linked]
    Portal("beta-hmac").post("session_disconnected", linked, reason="NAVIGATION")
    Bridge.objects.filter(pk=bridge.pk).update(last_heard_at=timezone.now())
    assert relocation.sweep() == 0
    relocation.go_on(linked.pk)
    linked.refresh_from_db()
    assert linked.bridge == beta


class TestToWhereTheLoginIsNot:
    """Somebody ticked that it is there. The bridge opens a client without one, and that asks for a scan."""

    def shows_a_code(self, session: LinkSession, node: MisbehavingBridge) -> None:
        node.running, node.says = {session.session_id}, {session.session_id: "qr_scanning"}
        forget_secrets()
        Portal("beta-hmac").post("qr_code_generated", session, **QR)
        run_due_tasks(within=10)
        session.refresh_from_db()

    def test_it_goes_back_to_where_it_came_from(
        self,
        linked: LinkSession,
        beta: Bridge,
        bridge: Bridge,
        portal: Portal,
        node: MisbehavingBridge,
        other_node: MisbehavingBridge,
    ) -> None:
        move(linked, beta)
        run_due_tasks(within=10)
        node.seen, other_node.seen, node.running = [], [], set()
        self.shows_a_code(linked, other_node)
        assert (linked.bridge, linked.end_reason) == (bridge, "")
        assert other_node.commands == [("DELETE", f"/api/sessions/{linked.session_id}")]
        assert other_node.seen[-1].body == {"api_key": "beta-key"}
        assert "so the login is not there. alpha has it again." in history(linked.account)[-1]
        Bridge.objects.update(heard_since=timezone.now() - timedelta(days=1))
        pass_time(30)
        recovery.run(bridge.pk)
        run_due_tasks(within=10)
        assert node.commands == [START]
        portal.post("session_ready", linked, **READY)
        assert status_of(linked.account) == Status.CONNECTED

    def test_once_for_a_code_at_the_old_one_too_says_a_day_later_that_the_login_is_gone(
        self, linked: LinkSession, beta: Bridge, portal: Portal, node: MisbehavingBridge, other_node: MisbehavingBridge
    ) -> None:
        """Until then it may lie beside the old one's folder, or in a file."""
        move(linked, beta)
        run_due_tasks(within=10)
        self.shows_a_code(linked, other_node)
        node.running, node.says = {linked.session_id}, {linked.session_id: "qr_scanning"}
        for end_reason in ("", EndReason.LOGGED_OUT):
            portal.post("qr_code_generated", linked, **QR)
            run_due_tasks(within=10)
            linked.refresh_from_db()
            assert linked.end_reason == end_reason
            pass_time(86400)

    def test_not_after_it_was_connected_there(
        self, linked: LinkSession, beta: Bridge, other_node: MisbehavingBridge
    ) -> None:
        move(linked, beta)
        run_due_tasks(within=10)
        forget_secrets()
        Portal("beta-hmac").post("session_ready", linked, **READY)
        run_due_tasks()
        self.shows_a_code(linked, other_node)
        assert (linked.bridge, linked.end_reason) == (beta, EndReason.LOGGED_OUT)
