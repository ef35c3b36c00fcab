"""Which process of a bridge speaks: a fresh start is seen, and so are two behind one address."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from accounts.bridges.incidents import Kind
from accounts.jobs import leases
from accounts.models import Bridge, BridgeOrder, Lease, LinkSession, ReconcileRun
from accounts.reconcile import polling
from tests.support.lists import beat, bridge, linked, open_kinds, row, shows
from tests.support.misbehaving import MisbehavingBridge

__all__ = ["bridge", "linked"]

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(hours=1)


class TestProcess:
    def test_nobody_waits_for_what_the_last_process_was_creating(self, bridge: Bridge) -> None:
        beat(boot="b1")
        leases.take(f"bridge:{bridge.pk}:starts", seconds=65, holder="order:1")
        beat(boot="b1")
        assert leases.take(f"bridge:{bridge.pk}:starts", seconds=65, holder="order:2") is None

        beat(boot="b2")

        assert leases.take(f"bridge:{bridge.pk}:starts", seconds=65, holder="order:2")

    def test_what_the_new_process_may_be_creating_keeps_its_line(self, bridge: Bridge) -> None:
        """It took the start before its first heartbeat came."""
        beat(boot="b1")
        leases.take(f"bridge:{bridge.pk}:starts", seconds=65, holder="order:1")

        beat(boot="b2")

        assert leases.take(f"bridge:{bridge.pk}:starts", seconds=65, holder="order:2") is None

    @pytest.mark.parametrize(("ordered", "waits"), [(20, False), (5, True)])
    def test_an_uptime_tells_which_process_is_at_it(
        self, bridge: Bridge, node: MisbehavingBridge, ordered: int, waits: bool
    ) -> None:
        shows(node, uptime=3600)
        polling.poll(bridge.pk)
        Bridge.objects.update(last_polled_at=timezone.now() - timedelta(seconds=30))
        leases.take(f"bridge:{bridge.pk}:starts", seconds=65, holder="order:1")
        Lease.objects.update(taken_at=timezone.now() - timedelta(seconds=ordered))

        shows(node, uptime=10)
        polling.poll(bridge.pk)

        assert (leases.take(f"bridge:{bridge.pk}:starts", seconds=65, holder="order:2") is None) == waits

    def test_another_boot_is_a_fresh_start(self, bridge: Bridge) -> None:
        beat(boot="b1")
        beat(boot="b2")
        bridge.refresh_from_db()
        assert bridge.boot == "b2"
        assert bridge.booted_at is not None
        assert ReconcileRun.objects.filter(note__contains="process b1 was replaced by b2").exists()
        assert open_kinds(bridge) == set()

    def test_one_that_was_replaced_and_is_back_means_two(self, bridge: Bridge) -> None:
        for boot in ("b1", "b2", "b1", "b2", "b1"):
            beat(boot=boot)
        assert open_kinds(bridge) == {Kind.ALTERNATING}

    def test_but_once_it_may_be_a_late_word_of_a_killed_one(self, bridge: Bridge, linked: LinkSession) -> None:
        for boot in ("b1", "b2"):
            beat(linked.session_id, boot=boot)
        Bridge.objects.update(booted_at=timezone.now() - LONG_AGO)
        LinkSession.objects.update(absent_polls=2, last_seen_at=timezone.now() - LONG_AGO)
        assert beat(boot="b1").json()["restore"] == []
        assert open_kinds(bridge) == set()

    def test_which_holds_back_nothing_else(self, bridge: Bridge, linked: LinkSession) -> None:
        for boot in ("b1", "b2", "b1", "b2"):
            beat(linked.session_id, boot=boot)
        assert open_kinds(bridge) == set()
        assert ReconcileRun.objects.filter(note__contains="Started anew").count() == 1
        Bridge.objects.update(booted_at=timezone.now() - LONG_AGO)
        LinkSession.objects.update(absent_polls=2, last_seen_at=timezone.now() - LONG_AGO)
        assert len(beat(boot="b2").json()["restore"]) == 1

    def test_a_smaller_uptime_is_a_fresh_start(self, bridge: Bridge, node: MisbehavingBridge) -> None:
        shows(node, uptime=3600)
        polling.poll(bridge.pk)
        Bridge.objects.update(last_polled_at=timezone.now() - timedelta(seconds=60))
        shows(node, uptime=20)
        polling.poll(bridge.pk)
        bridge.refresh_from_db()
        assert bridge.booted_at is not None
        assert bridge.booted_at > timezone.now() - timedelta(seconds=30)
        assert open_kinds(bridge) == set()

    def test_one_that_ran_already_when_another_answered_means_two(
        self, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        shows(node, uptime=3600)
        polling.poll(bridge.pk)
        shows(node, uptime=600)
        polling.poll(bridge.pk)
        assert open_kinds(bridge) == set()  # once it may be our clock that was set
        shows(node, uptime=3600)
        polling.poll(bridge.pk)
        assert open_kinds(bridge) == {Kind.ALTERNATING}

    @pytest.mark.parametrize("seconds", [-60, 15, 600])
    def test_a_step_of_our_own_clock_does_not(
        self, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, seconds: int
    ) -> None:
        shows(node, row(linked), uptime=7200)
        polling.poll(bridge.pk)
        with time_machine.travel(timezone.now() + timedelta(seconds=30 + seconds)):
            for later in (30, 32, 34):
                shows(node, row(linked), uptime=7200 + later)
                polling.poll(bridge.pk)
            assert open_kinds(bridge) == set()
            LinkSession.objects.update(absent_polls=2, last_seen_at=timezone.now() - LONG_AGO)
            shows(node, uptime=7236)
            polling.poll(bridge.pk)
        assert linked.orders.filter(why=BridgeOrder.Why.RECONCILE).count() == 1
