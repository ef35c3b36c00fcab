"""Two bridges that run one link, and several processes behind one address: no second client by our doing."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.bridges import incidents
from accounts.bridges.incidents import Kind
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, Incident, LinkSession, ReconcileRun
from accounts.orders import outbox
from tests.support.links import READY, status_of
from tests.support.lists import beat, bridge, crowd, linked, open_kinds, poll, row, shows
from tests.support.misbehaving import MisbehavingBridge, misbehaving_bridge
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from webhooks.authentication import forget_secrets
from webhooks.models import UnmatchedTraffic

__all__ = ["bridge", "linked"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def beta(linked: LinkSession) -> Iterator[MisbehavingBridge]:
    """A second bridge, beside the one that owns the link."""
    with misbehaving_bridge() as node:
        make_bridge("beta", url=node.url)
        forget_secrets()
        yield node


class TestTwoBridges:
    def test_the_owner_keeps_it_and_the_other_stops(
        self, linked: LinkSession, account: Account, node: MisbehavingBridge, beta: MisbehavingBridge
    ) -> None:
        shows(node, row(linked))
        shows(beta, row(linked))
        poll()
        poll()
        run_due_tasks()
        assert node.commands == []
        assert beta.commands == [("DELETE", f"/api/sessions/{linked}")]
        assert "logout" not in beta.seen[-1].body  # it would unlink the owner's device as well
        assert open_kinds(Bridge.objects.get(name="beta")) == {Kind.CONTESTED}
        assert account.transitions.filter(trigger="contested").count() == 1
        assert status_of(account) == Status.CONNECTED

    def test_nobody_is_stopped_while_the_owner_does_not_run_it(
        self, linked: LinkSession, account: Account, node: MisbehavingBridge, beta: MisbehavingBridge
    ) -> None:
        shows(node)
        shows(beta, row(linked))
        poll()
        run_due_tasks()
        assert beta.commands == []
        assert open_kinds(Bridge.objects.get(name="beta")) == {Kind.CONTESTED}
        assert account.transitions.filter(trigger="contested").count() == 1

    def test_nor_when_it_runs_too_many_such_as_from_a_copy_of_the_folder(
        self, linked: LinkSession, node: MisbehavingBridge, beta: MisbehavingBridge
    ) -> None:
        rows = [row(linked), *[row(name) for name in crowd(linked, 3)]]
        shows(node, *rows)
        shows(beta, *rows)
        for _ in range(3):
            poll()
        run_due_tasks()
        assert beta.commands == []
        assert open_kinds(Bridge.objects.get(name="beta")) == {Kind.CONTESTED}

    def test_events_under_another_bridges_secret_move_nothing_and_are_flagged(
        self, linked: LinkSession, account: Account, beta: MisbehavingBridge
    ) -> None:
        before = account.transitions.count()
        for event in ("session_disconnected", "session_ready", "session_disconnected"):
            answer = Portal("beta-hmac").post(event, linked, reason="LOGOUT", **READY)
            assert answer.json()["outcome"] == "unknown_session"
        assert status_of(account) == Status.CONNECTED
        assert account.transitions.count() == before
        assert UnmatchedTraffic.objects.filter(reason=UnmatchedTraffic.Reason.NOT_OWNER).count() == 2
        incident = Incident.objects.get()
        assert (incident.kind, incident.bridge.name, incident.count) == (Kind.CONTESTED, "beta", 3)

    def test_what_was_moved_away_may_say_its_last_words(self, linked: LinkSession, beta: MisbehavingBridge) -> None:
        other = Bridge.objects.get(name="beta")
        outbox.order(linked, BridgeOrder.Kind.STOP, bridge_id=other.pk)
        Portal("beta-hmac").post("session_disconnected", linked, reason="LOGOUT")
        assert open_kinds(other) == set()


class TestSessionsThatComeAndGo:
    """Lists that change from poll to poll, and not within one: all its answers agree, so one process gives them."""

    def answers(self, node: MisbehavingBridge, linked: LinkSession, ids: list[str], *turns: int, **said: Any) -> None:
        halves = [[row(linked)], [row(name) for name in ids]]
        for turn in turns:
            shows(node, *halves[turn], **said)
            LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
            poll()

    def test_are_those_of_one_process(self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge) -> None:
        ids = crowd(linked, 3)
        self.answers(node, linked, ids, 0, 1, 0, 1, 0, 0, 1, 0)
        run_due_tasks()
        assert open_kinds(bridge) == set()
        assert node.commands == []
        assert set(Account.objects.values_list("status", flat=True)) == {Status.CONNECTED}

    def test_one_that_is_gone_is_opened(self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge) -> None:
        ids = crowd(linked, 3)
        self.answers(node, linked, ids, 0)
        LinkSession.objects.filter(pk=linked.pk).update(absent_polls=5)
        self.answers(node, linked, ids, 1)
        run_due_tasks()
        assert node.commands == [("POST", "/api/sessions")]
        assert open_kinds(bridge) == set()

    def test_in_heartbeats_they_hold_recovery_back_for_one_more_look_and_no_longer(
        self, linked: LinkSession, bridge: Bridge
    ) -> None:
        """Nobody asks a bridge that sends them, so its answers cannot agree."""
        ids = crowd(linked, 3)
        told = []
        beat(linked.session_id)
        LinkSession.objects.filter(pk=linked.pk).update(absent_polls=5)
        for _ in range(2):
            Bridge.objects.update(booted_at=timezone.now() - timedelta(hours=1))
            LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
            told.append(len(beat(*ids).json()["restore"]))
        assert told == [0, 1]
        assert open_kinds(bridge) == set()

    def test_also_when_it_was_just_started(self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge) -> None:
        ids = crowd(linked, 3)
        started = timezone.now() - timedelta(minutes=6)
        Bridge.objects.update(booted_at=started)
        uptime = (timezone.now() - started).total_seconds()
        self.answers(node, linked, ids, 0, 1, 0, 1, 0, uptime=int(uptime))
        assert open_kinds(bridge) == set()

    def test_what_we_had_opened_ourselves_is_no_sign(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        for _ in range(3):
            shows(node)
            poll()
            linked.orders.update(created_at=timezone.now())
            shows(node, row(linked))
            poll()
        assert open_kinds(bridge) == set()

    def test_it_is_over_when_they_no_longer_take_turns(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        ids = crowd(linked, 3)
        incidents.report(bridge.pk, Kind.ALTERNATING, summary="Different processes answer.")
        Incident.objects.update(last_at=timezone.now() - timedelta(minutes=16))
        ReconcileRun.objects.all().delete()
        LinkSession.objects.update(absent_polls=0)
        shows(node, row(linked), *[row(name) for name in ids])
        poll()
        assert open_kinds(bridge) == set()
