"""What an earlier process of a bridge told, and comes late: from its outbox, or from what was buried there."""

from typing import Any

import pytest

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, ReconcileRun
from tests.support.links import READY, status_of
from tests.support.lists import beat
from tests.support.misbehaving import MisbehavingBridge
from tests.support.orders import bridge
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from webhooks.authentication import forget_secrets
from webhooks.models import WebhookEvent

__all__ = ["bridge"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def linked(portal: Portal, session: LinkSession, node: MisbehavingBridge) -> LinkSession:
    """By run A of the bridge."""
    run_due_tasks()
    say(portal, "A", 1, "session_authenticated", session)
    say(portal, "A", 2, "session_ready", session, **READY)
    node.running, node.says = {session.session_id}, {session.session_id: "connected"}
    node.seen = []
    return session


def say(portal: Portal, boot: str, number: int, event: str, session: LinkSession, **data: Any) -> str:
    body = {"event": event, "data": {"session_id": session.session_id, **data}}
    headers = {"X-Bridge-Boot": boot, "X-Bridge-Sequence": str(number), "X-Event-Id": f"{boot}-{number}"}
    return str(portal.send(body, **headers).json()["outcome"])


def restore(portal: Portal, boot: str, session: LinkSession) -> None:
    say(portal, boot, 4, "session_authenticated", session)
    say(portal, boot, 5, "session_ready", session, **READY)


@pytest.mark.parametrize("reason", ["NAVIGATION", "DEPRECATED_VERSION", "LOGOUT"])
def test_a_buried_loss_moves_nothing_and_is_asked_about(
    portal: Portal, account: Account, linked: LinkSession, node: MisbehavingBridge, reason: str
) -> None:
    restore(portal, "B", linked)
    assert say(portal, "A", 3, "session_disconnected", linked, reason=reason) == "stale"
    linked.refresh_from_db()
    assert (linked.applied_boot, linked.applied_sequence, linked.end_reason) == ("B", 5, "")
    assert linked.orders.filter(kind=BridgeOrder.Kind.CHECK, why="overtaken").count() == 1
    run_due_tasks()
    assert status_of(account) == Status.CONNECTED
    assert account.transitions.filter(new=Status.DISCONNECTED).count() == 0
    assert node.commands == []


def test_the_bridge_decides(portal: Portal, account: Account, linked: LinkSession, node: MisbehavingBridge) -> None:
    restore(portal, "B", linked)
    node.says = {linked.session_id: "disconnected"}
    say(portal, "A", 3, "session_disconnected", linked, reason="NAVIGATION")
    run_due_tasks()
    assert status_of(account) == Status.DISCONNECTED


def test_so_it_is_where_all_that_the_run_said_was_buried(portal: Portal, account: Account, linked: LinkSession) -> None:
    """Nothing of it stands in the inbox, but the heartbeats told of it."""
    for boot in ("A", "B", "C"):
        beat(linked.session_id, boot=boot)
    restore(portal, "C", linked)
    said = [
        say(portal, "B", 1, "session_authenticated", linked),
        say(portal, "B", 2, "session_ready", linked, **READY),
        say(portal, "B", 3, "session_disconnected", linked, reason="NAVIGATION"),
    ]
    assert said == ["stale"] * 3
    assert status_of(account) == Status.CONNECTED


def test_a_buried_ready_does_not_undo_a_later_loss(
    portal: Portal, account: Account, linked: LinkSession, node: MisbehavingBridge
) -> None:
    restore(portal, "B", linked)
    say(portal, "B", 6, "session_disconnected", linked, reason="NAVIGATION")
    node.says = {linked.session_id: "disconnected"}
    assert say(portal, "A", 3, "session_ready", linked, **READY) == "stale"
    run_due_tasks()
    assert status_of(account) == Status.DISCONNECTED


class TestHonestOrder:
    def test_the_last_words_of_a_run_before_the_next_one_speaks_of_the_session(
        self, portal: Portal, account: Account, linked: LinkSession
    ) -> None:
        """They lay in the outbox, and are delivered by the next process, whose heartbeat came first."""
        for boot in ("A", "B"):
            beat(linked.session_id, boot=boot)
        assert ReconcileRun.objects.filter(note__contains="process A was replaced by B.").exists()
        assert say(portal, "A", 3, "session_disconnected", linked, reason="LOGOUT") == "applied"
        linked.refresh_from_db()
        assert linked.end_reason in {EndReason.LOGGED_OUT, EndReason.DEVICE_REMOVED}

    def test_those_of_a_run_that_had_not_spoken_of_it_before(
        self, portal: Portal, account: Account, linked: LinkSession
    ) -> None:
        """B took the place of A, C that of B; what B has to say is newer than what A said."""
        for boot in ("A", "B", "C"):
            beat(linked.session_id, boot=boot)
        assert say(portal, "B", 3, "session_disconnected", linked, reason="NAVIGATION") == "applied"
        assert status_of(account) == Status.DISCONNECTED

    def test_a_loss_of_the_new_run(self, portal: Portal, account: Account, linked: LinkSession) -> None:
        for boot in ("A", "B"):
            beat(linked.session_id, boot=boot)
        restore(portal, "B", linked)
        assert say(portal, "B", 6, "session_disconnected", linked, reason="NAVIGATION") == "applied"
        assert say(portal, "C", 1, "session_authenticated", linked) == "no_change"  # before its first heartbeat
        assert say(portal, "C", 2, "session_ready", linked, **READY) == "applied"
        assert say(portal, "C", 3, "session_disconnected", linked, reason="CONFLICT") == "applied"
        assert status_of(account) == Status.DISCONNECTED

    def test_a_link_that_was_moved_away_and_back(
        self, portal: Portal, account: Account, linked: LinkSession, bridge: Bridge
    ) -> None:
        """The first bridge is the same process still; what another bridge said meanwhile replaces nothing of it."""
        beta = make_bridge("beta")
        forget_secrets()
        LinkSession.objects.update(bridge=beta)
        restore(Portal("beta-hmac"), "B", linked)
        LinkSession.objects.update(bridge=bridge)
        assert say(portal, "A", 3, "session_disconnected", linked, reason="NAVIGATION") == "applied"
        assert status_of(account) == Status.DISCONNECTED

    def test_a_bridge_that_numbers_nothing(self, portal: Portal, account: Account, linked: LinkSession) -> None:
        portal.post("session_disconnected", linked, reason="NAVIGATION")
        assert status_of(account) == Status.DISCONNECTED
        assert not WebhookEvent.objects.filter(reason="stale").exists()
