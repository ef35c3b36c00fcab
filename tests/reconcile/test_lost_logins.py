"""A bridge shows QR codes for what is linked. One: the device was removed on the phone. Many: their logins are gone."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import snapshots
from accounts.bridges.incidents import Kind
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, Incident, LinkSession
from accounts.pairing import attempts
from accounts.reconcile import polling, recovery
from tests.support.links import QR, READY
from tests.support.logins import bridge, lists, show_codes, twelve
from tests.support.losses import pass_time
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "twelve"]

pytestmark = pytest.mark.django_db


def poll(bridge: Bridge, *, times: int = 1) -> None:
    """Half a minute apart, as the job does."""
    for _ in range(times):
        pass_time(31)
        LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=2))
        polling.poll(bridge.pk)
        run_due_tasks()


def statuses() -> list[str]:
    return list(Account.objects.order_by("pk").values_list("status", flat=True))


def ended() -> int:
    return LinkSession.objects.filter(ended_at__isnull=False).count()


def open_incident() -> Incident | None:
    return Incident.objects.filter(kind=Kind.NO_LOGINS, closed_at=None).first()


class TestAnEmptyDataDirectory:
    @pytest.fixture
    def empty(self, portal: Portal, node: MisbehavingBridge, twelve: list[LinkSession]) -> list[LinkSession]:
        lists(node, twelve, codes=12)
        show_codes(portal, twelve)
        run_due_tasks()
        return twelve

    def test_ends_nobody_and_is_one_incident(self, empty: list[LinkSession], node: MisbehavingBridge) -> None:
        assert statuses() == [Status.DISCONNECTED] * 12
        assert ended() == 0
        incident = open_incident()
        assert incident is not None
        assert "new codes for 12 of 12 links" in incident.summary
        assert incident.summary.endswith("Look at BRIDGE_DATA_DIR. Nothing was ended.")
        assert node.commands == []  # neither stopped nor opened anew

    def test_not_even_the_first_that_it_brings_up(
        self, portal: Portal, bridge: Bridge, twelve: list[LinkSession], node: MisbehavingBridge
    ) -> None:
        """One after the other, and each shows its code at once, long before the next list of ours."""
        for number in range(1, 13):
            lists(node, twelve[:number], codes=number)
            show_codes(portal, twelve[number - 1 : number])
            run_due_tasks()
            assert ended() == 0
            assert (open_incident() is not None) == (number > 3)
        poll(bridge)
        incident = open_incident()
        assert incident is not None
        assert "12 of 12" in incident.summary

    def test_heals_when_the_directory_is_back(
        self, portal: Portal, bridge: Bridge, empty: list[LinkSession], node: MisbehavingBridge
    ) -> None:
        lists(node, empty[:2], codes=2)  # it is started again, and has got so far
        poll(bridge)
        assert open_incident() is not None
        for session in empty:
            phone = Account.objects.get(current_session=session).phone_number
            portal.post("session_authenticated", session)
            portal.post("session_ready", session, **(READY | {"phone_number": phone}))
        lists(node, empty)
        poll(bridge)
        assert statuses() == [Status.CONNECTED] * 12
        assert open_incident() is None
        assert ("DELETE", f"/api/sessions/{empty[0].session_id}") not in node.commands

    def test_its_codes_are_shown_to_nobody(self, empty: list[LinkSession]) -> None:
        snapshot = snapshots.take(empty[0].account_id)
        assert (snapshot["view"], snapshot["qr_svg"], snapshot["qr_png"]) == ("reconnecting", "", False)

    def test_who_asks_for_a_new_code_gets_an_attempt_of_its_own(self, portal: Portal, empty: list[LinkSession]) -> None:
        session = attempts.start(empty[0].account_id, trigger="test")
        portal.post("qr_code_generated", session, **QR)
        assert snapshots.take(session.account_id)["view"] == "scan"

    def test_nobody_asks_about_every_code(self, portal: Portal, empty: list[LinkSession]) -> None:
        checks = BridgeOrder.objects.filter(kind=BridgeOrder.Kind.CHECK).count()
        for _ in range(3):
            show_codes(portal, empty)
        assert BridgeOrder.objects.filter(kind=BridgeOrder.Kind.CHECK).count() == checks

    def test_each_is_told_to_connect_again_now_and_then(
        self, bridge: Bridge, empty: list[LinkSession], node: MisbehavingBridge
    ) -> None:
        """A directory that is put back under a running bridge is read by a new client."""
        for _ in range(10):  # five minutes
            pass_time(30)
            recovery.run(bridge.pk)
            run_due_tasks()
        assert sorted(node.commands) == sorted(
            ("POST", f"/api/sessions/{session.session_id}/reconnect") for session in empty
        )


def test_observing_ends_nobody(
    portal: Portal, twelve: list[LinkSession], node: MisbehavingBridge, settings: Any
) -> None:
    settings.LINKDESK_RECONCILE = "observe"
    lists(node, twelve, codes=1)
    show_codes(portal, twelve[:1])
    run_due_tasks()
    assert statuses() == [Status.DISCONNECTED] + [Status.CONNECTED] * 11
    assert (ended(), open_incident()) == (0, None)
    lists(node, twelve, codes=12)
    show_codes(portal, twelve)
    run_due_tasks()
    assert (ended(), open_incident() is None) == (0, False)
    assert node.commands == []


class TestRemovedOnThePhone:
    """The codes are true, and the LOGOUT events were lost."""

    def test_three_at_once_are_ended(self, portal: Portal, twelve: list[LinkSession], node: MisbehavingBridge) -> None:
        lists(node, twelve, codes=3)
        show_codes(portal, twelve[:3])
        run_due_tasks()
        assert statuses() == [Status.LOGGED_OUT] * 3 + [Status.CONNECTED] * 9
        assert set(LinkSession.objects.exclude(end_reason="").values_list("end_reason", flat=True)) == {
            EndReason.LOGGED_OUT
        }
        assert len(node.commands) == 3
        assert open_incident() is None

    def test_more_one_after_the_other_are_not(
        self, portal: Portal, twelve: list[LinkSession], node: MisbehavingBridge
    ) -> None:
        for session in twelve[:5]:
            node.says[session.session_id] = "qr_scanning"
            show_codes(portal, [session])
            run_due_tasks()
        assert statuses()[:5] == [Status.LOGGED_OUT] * 3 + [Status.DISCONNECTED] * 2
        incident = open_incident()
        assert incident is not None
        assert incident.summary.endswith("3 were ended before this was seen, no more are.")

    def test_but_an_hour_later_they_are(
        self, portal: Portal, bridge: Bridge, twelve: list[LinkSession], node: MisbehavingBridge
    ) -> None:
        self.test_more_one_after_the_other_are_not(portal, twelve, node)
        LinkSession.objects.filter(ended_at__isnull=False).update(ended_at=timezone.now() - timedelta(hours=1))
        BridgeOrder.objects.filter(kind=BridgeOrder.Kind.CHECK).update(created_at=timezone.now() - timedelta(hours=1))
        poll(bridge)
        assert open_incident() is None
        show_codes(portal, twelve[3:5])
        run_due_tasks()
        assert statuses()[:5] == [Status.LOGGED_OUT] * 5

    def test_one_is_ended_when_the_others_are_back(
        self, portal: Portal, bridge: Bridge, twelve: list[LinkSession], node: MisbehavingBridge
    ) -> None:
        """Removed while the bridge was down: its next process brings up this one first."""
        lists(node, twelve[:1], codes=1)
        show_codes(portal, twelve[:1])
        run_due_tasks()
        assert statuses()[0] == Status.DISCONNECTED
        lists(node, twelve, codes=6)  # five are coming up, and show no code
        show_codes(portal, twelve[:1])
        run_due_tasks()
        assert (ended(), open_incident()) == (0, None)
        assert twelve[0].orders.filter(kind=BridgeOrder.Kind.CHECK).count() == 1
        lists(node, twelve, codes=1)
        show_codes(portal, twelve[:1])
        run_due_tasks()
        assert statuses()[0] == Status.LOGGED_OUT
        assert ended() == 1
