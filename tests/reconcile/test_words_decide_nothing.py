"""A text that is reworded, another language, or a history that is gone changes no decision about a link."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.lifecycle import EndCause, EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.reconcile import lost_logins, polling, recovery
from tests.support import ROOT
from tests.support.links import QR, READY, status_of
from tests.support.lists import beat, open_kinds
from tests.support.logins import bridge, lists, show_codes, twelve
from tests.support.losses import pass_time, recover
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.rewording import Change, change
from webhooks.authentication import forget_secrets

__all__ = ["bridge", "change", "twelve"]

pytestmark = pytest.mark.django_db

# They read it to report what happened, to write the same line once a day, and to fold the lines of a link that flaps.
READ_THE_HISTORY = {
    "accounts/housekeeping/cleanup.py",
    "accounts/models/history.py",
    "accounts/reconcile/findings.py",
}


@pytest.fixture
def link(twelve: list[LinkSession]) -> LinkSession:
    return twelve[0]


@pytest.fixture
def beta(twelve: list[LinkSession]) -> Bridge:
    """It shares alpha's machine: what is alpha's may run there."""
    made = make_bridge("beta")
    forget_secrets()
    return made


def lose(portal: Portal, session: LinkSession, node: MisbehavingBridge, reason: str = "NAVIGATION") -> None:
    portal.post("session_disconnected", session, reason=reason)
    node.says[session.session_id] = "disconnected"


def shows_a_code(portal: Portal, session: LinkSession, node: MisbehavingBridge) -> str:
    """Why it has ended, if it has."""
    node.says[session.session_id] = "qr_scanning"
    portal.post("qr_code_generated", session, **QR)
    run_due_tasks()
    session.refresh_from_db()
    return session.end_reason


def beta_lists(session: LinkSession, status: str = "connected") -> list[str]:
    """What beta is told to stop."""
    stop: list[str] = beat(sessions=[{"session_id": session.session_id, "status": status}], secret="beta").json()[
        "stop"
    ]
    return stop


class TestRecovery:
    def test_tries_at_the_same_moments(
        self, portal: Portal, bridge: Bridge, link: LinkSession, node: MisbehavingBridge, change: Change
    ) -> None:
        lose(portal, link, node)
        lost_at = Account.objects.get(pk=link.account_id).status_changed_at
        change()
        assert recovery.next_try(Account.objects.get(pk=link.account_id)) == lost_at + timedelta(seconds=15)
        waits = []
        for _ in range(4):
            due = recovery.next_try(Account.objects.get(pk=link.account_id))
            assert due is not None
            waits.append((due - timezone.now()).total_seconds())
            pass_time(waits[-1] + 0.1)
            recover(bridge)
            change()
        assert waits == pytest.approx([15, 15, 30, 60], rel=0.1)
        assert node.commands == [("POST", f"/api/sessions/{link.session_id}/reconnect")] * 4

    def test_goes_by_what_the_bridge_said_of_the_last_loss(
        self, portal: Portal, bridge: Bridge, link: LinkSession, node: MisbehavingBridge, change: Change
    ) -> None:
        lose(portal, link, node, "CONFLICT")
        change()
        link.refresh_from_db()
        assert link.lost_reason == "CONFLICT"
        portal.post("session_ready", link, **READY | {"phone_number": "6281100000000"})
        polling.poll(bridge.pk)
        pass_time(61)
        LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=2))
        polling.poll(bridge.pk)
        assert status_of(link.account) == Status.DISCONNECTED
        link.refresh_from_db()
        assert link.lost_reason == ""  # it was seen in a list, for which nobody gave a reason
        assert recovery.next_try(Account.objects.get(pk=link.account_id)) is not None
        LinkSession.objects.update(lost_reason="LOGOUT")
        assert recovery.next_try(Account.objects.get(pk=link.account_id)) is None


class TestStops:
    def test_what_ended_for_a_code_alone_is_not_stopped_where_it_is_connected(
        self, portal: Portal, link: LinkSession, beta: Bridge, node: MisbehavingBridge, change: Change
    ) -> None:
        assert shows_a_code(portal, link, node) == EndReason.LOGGED_OUT
        assert (link.end_cause, link.end_detail) == (EndCause.SHOWED_CODE, "It showed a QR code.")
        change()
        assert beta_lists(link) == []
        assert "contested" in open_kinds(beta)
        change()
        assert beta_lists(link) == []
        change()
        assert beta_lists(link, "qr_scanning") == [link.session_id]

    def test_what_was_logged_out_is(self, portal: Portal, link: LinkSession, beta: Bridge, change: Change) -> None:
        portal.post("session_disconnected", link, reason="LOGOUT")
        link.refresh_from_db()
        assert (link.end_reason, link.end_cause, link.end_detail) == (EndReason.LOGGED_OUT, "", "LOGOUT")
        change()
        assert beta_lists(link) == [link.session_id]


class TestLostLogins:
    def test_after_three_codes_no_more_links_are_ended(
        self, portal: Portal, bridge: Bridge, twelve: list[LinkSession], node: MisbehavingBridge, change: Change
    ) -> None:
        ends = []
        for session in twelve[:5]:
            ends.append(shows_a_code(portal, session, node))
            change()
        assert ends == [EndReason.LOGGED_OUT] * 3 + ["", ""]
        assert "no_logins" in open_kinds(bridge)

    def test_of_many_at_once_none_is_ended(
        self, portal: Portal, bridge: Bridge, twelve: list[LinkSession], node: MisbehavingBridge, change: Change
    ) -> None:
        lists(node, twelve, codes=12)
        show_codes(portal, twelve)
        change()
        run_due_tasks()
        assert not LinkSession.objects.filter(ended_at__isnull=False).exists()
        assert "no_logins" in open_kinds(bridge)

    def test_a_code_ends_no_link_that_ran_elsewhere_until_it_was_connected_again(
        self, portal: Portal, link: LinkSession, beta: Bridge, node: MisbehavingBridge, change: Change
    ) -> None:
        beta_lists(link)
        change()
        for _ in range(2):
            assert shows_a_code(portal, link, node) == ""
            change()
            BridgeOrder.objects.filter(kind=BridgeOrder.Kind.CHECK).delete()  # answered long ago
        portal.post("session_ready", link, **READY | {"phone_number": "6281100000000"})
        change()
        LinkSession.objects.filter(pk=link.pk).update(rival_seen_at=timezone.now() - timedelta(hours=1))
        assert lost_logins.why_elsewhere(LinkSession.objects.get(pk=link.pk)) == ""
        assert shows_a_code(portal, link, node) == EndReason.LOGGED_OUT


def test_no_code_of_the_domain_asks_the_history() -> None:
    """State is a column. Whoever only shows the history is in sessions_admin."""
    asks = re.compile(r"\.transitions\b|\btransitions__|\bTransition\.objects\.(?!create\b)")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "accounts").rglob("*.py")
        if "migrations" not in path.parts and asks.search(path.read_text())
    }
    assert found == READ_THE_HISTORY
