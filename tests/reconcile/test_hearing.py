"""Bridges that send no heartbeat are asked; the silence of one is seen, and how many are lost at once."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.bridges import choosing, incidents, presence, watch
from accounts.bridges.incidents import Kind
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, Incident, Lease, LinkSession, Workspace
from accounts.reconcile import heartbeat, polling
from tests.support.links import status_of
from tests.support.lists import beat, bridge, crowd, linked, open_kinds, row, shows
from tests.support.misbehaving import (
    Conversation,
    MisbehavingBridge,
    Seen,
    hangs,
    misbehaving_bridge,
    says_html,
    status,
)
from tests.support.portal import make_bridge
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked"]

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(hours=1)


def fall_silent(bridge: Bridge, seconds: float = 100) -> None:
    Bridge.objects.filter(pk=bridge.pk).update(last_heard_at=timezone.now() - timedelta(seconds=seconds))


class TestPoll:
    def test_what_the_bridge_is_and_runs(self, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge) -> None:
        fall_silent(bridge, 600)
        shows(node, row(linked), library="whatsmeow", version="0.5", capabilities=["qr"], capacity=7, boot="b1")
        polling.poll(bridge.pk)
        bridge.refresh_from_db()
        assert (bridge.library, bridge.version, bridge.capacity, bridge.boot) == ("whatsmeow", "0.5", 7, "b1")
        assert (bridge.capabilities, bridge.sessions_reported) == (["qr"], 1)
        assert presence.is_up(bridge)
        assert bridge.last_polled_at == bridge.last_heard_at
        assert bridge.booted_at is not None
        assert abs(timezone.now() - bridge.booted_at - LONG_AGO) < timedelta(seconds=10)
        linked.refresh_from_db()
        assert linked.last_seen_at is not None
        assert linked.last_seen_at > timezone.now() - timedelta(seconds=10)

    def test_the_key_does_not_go_where_nobody_asks_for_it(self, bridge: Bridge, node: MisbehavingBridge) -> None:
        polling.poll(bridge.pk)
        assert [(seen.path, seen.query) for seen in node.seen] == [
            ("/health", {}),
            ("/api/sessions", {"api_key": "alpha-key"}),
        ]

    def test_one_without_health_still_has_a_list(self, bridge: Bridge, node: MisbehavingBridge) -> None:
        fall_silent(bridge)

        def only_the_list(talk: Conversation, seen: Seen) -> None:
            talk.answer(404 if seen.path == "/health" else 200, {"sessions": []})

        node.lists = only_the_list
        polling.poll(bridge.pk)
        bridge.refresh_from_db()
        assert presence.is_up(bridge)

    @pytest.mark.parametrize("act", [says_html, status(500), status(401)])
    def test_no_good_answer_is_not_heard(self, bridge: Bridge, node: MisbehavingBridge, act: Any) -> None:
        fall_silent(bridge)
        node.lists = act
        polling.poll(bridge.pk)
        bridge.refresh_from_db()
        assert not presence.is_up(bridge)
        assert bridge.last_error != ""
        assert bridge.last_polled_at is None

    @pytest.mark.parametrize(
        ("health", "library"),
        [
            ({"library": 7, "version": ["x"], "capacity": "many", "capabilities": "qr", "boot": {}, "uptime": "x"}, ""),
            (
                {"library": "a\u0000b", "version": "x" * 999, "capacity": -1, "capabilities": [1, {}], "uptime": 1e300},
                "a\ufffdb",
            ),
            ({"boot": "\ud800", "uptime": -5, "draining": "yes"}, ""),
        ],
    )
    def test_what_it_says_of_itself_may_be_anything(
        self, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge, health: dict[str, Any], library: str
    ) -> None:
        strange: list[Any] = [
            row("\u0000"),
            row("half\ud800"),
            row("x" * 999),
            {"session_id": 5},
            "nothing",
            row("s", 5, phone_number="\ud800"),
        ]
        shows(node, row(linked), *strange, **health)
        polling.poll(bridge.pk)
        bridge.refresh_from_db()
        assert (bridge.library, bridge.last_polled_at is not None) == (library, True)
        assert list(bridge.strays.values_list("session_id", "phone_number")) == [("s", "")]

    def test_two_at_once_are_one(self, bridge: Bridge, node: MisbehavingBridge) -> None:
        Lease.objects.create(
            name=f"poll of bridge {bridge.pk}",
            holder="another",
            taken_at=timezone.now(),
            until=timezone.now() + timedelta(seconds=9),
        )
        polling.poll(bridge.pk)
        assert node.seen == []

    def test_only_those_without_a_heartbeat_are_asked(self, bridge: Bridge, node: MisbehavingBridge) -> None:
        beat()
        assert polling.poll_all() == 0
        Bridge.objects.update(last_heartbeat_at=timezone.now() - timedelta(seconds=100))
        assert polling.poll_all() == 1
        run_due_tasks(within=60)
        assert [seen.path for seen in node.seen] == ["/health", "/api/sessions"] * 2

    def test_one_that_hangs_delays_no_other(self, bridge: Bridge, node: MisbehavingBridge, monkeypatch: Any) -> None:
        monkeypatch.setattr("accounts.bridges.client.LIST_WITHIN", 0.5)
        with misbehaving_bridge() as other:
            make_bridge("beta", url=other.url)
            node.lists = hangs
            shows(other)
            Bridge.objects.update(last_heard_at=None)
            polling.poll_all()
            run_due_tasks(within=60)
        assert [presence.is_up(bridge) for bridge in Bridge.objects.order_by("pk")] == [False, True]


class TestSilence:
    def test_a_silent_bridge_is_one_incident_and_no_account_moves(self, bridge: Bridge, linked: LinkSession) -> None:
        fall_silent(bridge)
        before = linked.account.transitions.count()
        watch.watch()
        watch.watch()
        incident = Incident.objects.get()
        assert (incident.kind, incident.bridge, incident.count) == (Kind.DOWN, bridge, 1)
        assert "1 open session" in incident.summary
        assert status_of(linked.account) == Status.CONNECTED
        assert linked.account.transitions.count() == before

    def test_it_is_over_when_the_bridge_is_heard(self, bridge: Bridge, linked: LinkSession) -> None:
        fall_silent(bridge)
        watch.watch()
        beat(linked.session_id)
        assert open_kinds(bridge) == set()

    def test_or_when_an_event_came_and_then_it_is_asked_at_once(
        self, bridge: Bridge, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        fall_silent(bridge)
        watch.watch()
        fall_silent(bridge, 1)
        assert watch.watch()["back"] == 1
        assert open_kinds(bridge) == set()
        run_due_tasks()
        assert [seen.path for seen in node.seen if seen.method == "GET"][-2:] == ["/health", "/api/sessions"]

    def test_one_that_was_never_heard_of_is_not_there_yet(self, bridge: Bridge) -> None:
        Bridge.objects.update(last_heard_at=None)
        watch.watch()
        assert not Incident.objects.exists()


class TestLeaving:
    """A bridge that says `draining` of itself: its sessions go one by one, and come back with its next process."""

    def test_is_heard_and_not_compared(self, bridge: Bridge, linked: LinkSession) -> None:
        LinkSession.objects.update(absent_polls=2)
        assert beat(draining=True).json() == {"success": True, "stop": [], "restore": []}
        assert status_of(linked.account) == Status.CONNECTED
        bridge.refresh_from_db()
        assert (bridge.last_heartbeat_at is not None, bridge.draining) == (True, False)  # `draining` is staff's word

    def test_gets_nothing_new_until_it_says_otherwise(self, bridge: Bridge, workspace: Workspace) -> None:
        beat(draining=True)
        assert choosing.eligible(workspace) == []
        assert choosing.why_not(Bridge.objects.get()) == ["is shutting down"]
        beat(boot="the next one")
        assert choosing.eligible(workspace) == [bridge]

    def test_also_when_it_is_polled(self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge) -> None:
        shows(node, draining=True)
        polling.poll(bridge.pk)
        assert choosing.eligible(workspace) == []

    def test_one_that_says_so_for_ever_is_compared_again(self, bridge: Bridge, linked: LinkSession) -> None:
        beat(draining=True)
        LinkSession.objects.update(absent_polls=2)
        assert beat(draining=True).json()["restore"] == []
        Bridge.objects.update(says_draining_since=timezone.now() - heartbeat.LEAVES_WITHIN)
        assert len(beat(draining=True).json()["restore"]) == 1


class TestManyLosses:
    def lose(self, linked: LinkSession, count: int, *, became: Status = Status.DISCONNECTED) -> None:
        lost = Account.objects.order_by("pk")[:count].values_list("pk", flat=True)
        now = timezone.now()
        Account.objects.filter(pk__in=list(lost)).update(status=became, status_changed_at=now)

    @pytest.fixture
    def forty(self, linked: LinkSession) -> LinkSession:
        crowd(linked, 39)
        for session in LinkSession.objects.all():
            Account.objects.filter(pk=session.account_id).update(current_session=session)
        return linked

    @pytest.mark.parametrize("became", [Status.DISCONNECTED, Status.LOGGED_OUT, Status.FAILED])
    def test_are_one_incident(self, bridge: Bridge, forty: LinkSession, became: Status) -> None:
        self.lose(forty, 20, became=became)
        watch.watch()
        watch.watch()
        incident = Incident.objects.get(kind=Kind.MASS_LOSS)
        assert incident.summary.startswith("20 of 40 ")

    @pytest.mark.parametrize("count", [9, 11])  # 11 of 40 are 27 %
    def test_few_are_none(self, bridge: Bridge, forty: LinkSession, count: int) -> None:
        self.lose(forty, count)
        watch.watch()
        assert open_kinds(bridge) == set()

    def test_it_is_over_after_a_while(self, bridge: Bridge, forty: LinkSession) -> None:
        self.lose(forty, 20)
        watch.watch()
        Account.objects.update(status_changed_at=timezone.now() - timedelta(minutes=11))
        Incident.objects.update(last_at=timezone.now() - timedelta(minutes=11))
        watch.watch()
        assert open_kinds(bridge) == set()

    def test_those_of_another_bridge_do_not_count(self, bridge: Bridge, forty: LinkSession) -> None:
        fourteen = list(LinkSession.objects.order_by("pk").values_list("pk", flat=True)[:14])
        LinkSession.objects.filter(pk__in=fourteen).update(bridge=make_bridge("beta"))
        self.lose(forty, 14)
        watch.watch()
        assert open_kinds(bridge) == set()


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_twenty_who_see_the_same_at_once_make_one_incident(bridge: Bridge) -> None:
    def report() -> None:
        try:
            incidents.report(bridge.pk, Kind.CONTESTED, summary="seen")
        finally:
            connection.close()

    threads = [threading.Thread(target=report) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Incident.objects.get().count == 20
    assert incidents.close(bridge.pk, Kind.CONTESTED)
    assert incidents.report(bridge.pk, Kind.CONTESTED, summary="again")
