"""A move that was given back while the login lay aside, or in a file: a code of the old bridge proves nothing."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.lifecycle import EndReason, Status
from accounts.models import Bridge, BridgeOrder, LinkSession
from accounts.pairing import bridge_events
from accounts.reconcile import relocation
from accounts.reconcile.lost_logins import MOVED
from tests.support import misbehaving
from tests.support.links import QR, READY, status_of
from tests.support.losses import pass_time
from tests.support.misbehaving import MisbehavingBridge
from tests.support.moves import START, beta, bridge, calm_down, linked, move, other_node
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks
from webhooks.authentication import forget_secrets

__all__ = ["beta", "bridge", "linked", "other_node"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def given_back(linked: LinkSession, beta: Bridge, node: MisbehavingBridge) -> LinkSession:
    """Move was pressed before the old bridge was known to be silent; then that came up without the folder."""
    node.plays(misbehaving.status(500))
    move(linked, beta)
    run_due_tasks()
    pass_time(61)
    calm_down()
    node.running = set()
    relocation.go_on(linked.pk)
    linked.refresh_from_db()
    assert linked.bridge.name == "alpha"
    bridge_events.restore_failed(linked.pk, reason="No login here")
    node.plays(misbehaving.faithful)
    pass_time(30)
    return linked


def shows_a_code(session: LinkSession, node: MisbehavingBridge, portal: Portal) -> str:
    node.running, node.says = {session.session_id}, {session.session_id: "qr_scanning"}
    BridgeOrder.objects.filter(kind=BridgeOrder.Kind.CHECK).delete()  # answered long ago
    portal.post("qr_code_generated", session, **QR)
    run_due_tasks()
    session.refresh_from_db()
    return session.end_reason


def test_a_code_of_the_old_bridge_ends_nothing(
    given_back: LinkSession, node: MisbehavingBridge, portal: Portal
) -> None:
    for _ in range(3):
        assert shows_a_code(given_back, node, portal) == ""
    assert status_of(given_back.account) == Status.DISCONNECTED
    assert given_back.account.transitions.filter(reason=MOVED).count() == 1


def test_and_when_it_is_moved_again_it_is_linked_with_nobody_scanning(
    given_back: LinkSession, beta: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge, portal: Portal
) -> None:
    shows_a_code(given_back, node, portal)
    move(given_back, beta)
    run_due_tasks(within=10)
    assert other_node.commands == [START]
    forget_secrets()
    Portal("beta-hmac").post("session_ready", given_back, **READY)
    assert status_of(given_back.account) == Status.CONNECTED


@pytest.mark.parametrize("since", ["a day", "connected there"])
def test_later_it_does(given_back: LinkSession, node: MisbehavingBridge, portal: Portal, since: str) -> None:
    if since == "a day":
        pass_time(86400)
    else:
        portal.post("session_ready", given_back, **READY)
        LinkSession.objects.update(last_connected_at=timezone.now() + timedelta(seconds=1))
    assert shows_a_code(given_back, node, portal) == EndReason.LOGGED_OUT
