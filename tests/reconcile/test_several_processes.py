"""A Node bridge that PM2 runs as a cluster: several processes behind one address, and each request goes to the next.

No link of theirs gets a second client, whatever a single process lists; and one that drops comes back.
"""

import itertools
import random
import time
from collections.abc import Iterator

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.bridges import choosing, in_turn
from accounts.bridges.incidents import Kind
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, Workspace
from tests.support.cluster import Cluster, bridge, cluster, pass_time, spread
from tests.support.links import status_of
from tests.support.lists import open_kinds
from tests.support.misbehaving import MisbehavingBridge, misbehaving_bridge
from tests.support.portal import make_bridge

__all__ = ["bridge"]

pytestmark = pytest.mark.django_db

# How many processes, and how many seconds apart they were started.
KINDS = [(2, 0), (2, 0.3), (3, 5), (4, 700), (8, 0), (17, 0), (32, 0.3)]
THREE_MINUTES = 180


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=True) as travelling:
        yield travelling


def orders_to_open(made: Cluster) -> list[tuple[str, str]]:
    return [(method, path) for method, path in made.node.commands if method == "POST"]


class TestHealthyLinks:
    @pytest.mark.parametrize(("count", "apart"), KINDS)
    def test_are_left_alone_and_the_processes_are_known(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller,
        count: int, apart: float,
    ) -> None:  # fmt: skip
        made = cluster(node, count, apart=apart)
        spread(made, bridge, workspace, max(4, count))
        pass_time(made, bridge, clock, 100)
        assert open_kinds(bridge) == {Kind.ALTERNATING}
        pass_time(made, bridge, clock, 180)
        assert node.commands == []
        assert made.twice == set()
        assert set(Account.objects.values_list("status", flat=True)) == {Status.CONNECTED}

    @pytest.mark.parametrize("count", [2, 8])
    def test_also_where_requests_go_to_any_of_them(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller, count: int
    ) -> None:
        chance = random.Random(count)
        turns = (chance.randrange(count) for _ in itertools.count())
        made = cluster(node, count, apart=0, turns=turns)
        spread(made, bridge, workspace, 4)
        pass_time(made, bridge, clock, 300)
        assert node.commands == []
        assert open_kinds(bridge) == {Kind.ALTERNATING}

    def test_processes_that_run_nothing_yet_are_known_as_well(
        self, bridge: Bridge, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        pass_time(cluster(node, 2, apart=0.3), bridge, clock, 100)
        assert open_kinds(bridge) == {Kind.ALTERNATING}

    def test_it_is_over_when_one_process_is_left(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        made = cluster(node, 2, apart=0.3)
        spread(made, bridge, workspace, 4)
        pass_time(made, bridge, clock, 100)
        left, gone = made.workers
        left.running |= gone.running
        made.workers.remove(gone)
        pass_time(made, bridge, clock, 16 * 60)
        assert open_kinds(bridge) == set()
        assert node.commands == []


class TestALinkThatDrops:
    @pytest.mark.parametrize(
        ("count", "vanishes", "is_told"),
        [(2, True, True), (2, False, True), (3, True, False), (4, False, False), (8, True, True), (8, True, False)],
    )
    def test_is_back_within_three_minutes_and_runs_once(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller,
        count: int, vanishes: bool, is_told: bool,
    ) -> None:  # fmt: skip
        made = cluster(node, count, apart=0.3)
        sessions = spread(made, bridge, workspace, 4)
        pass_time(made, bridge, clock, 100)
        worker = made.worker_of(sessions[1])
        worker.drop(sessions[1].session_id)
        if vanishes:
            worker.vanish(sessions[1].session_id)
        if not is_told:
            worker.wire.clear()
        pass_time(made, bridge, clock, THREE_MINUTES)
        assert made.states(sessions[1]) == ["connected"]
        assert status_of(sessions[1].account) == Status.CONNECTED
        assert orders_to_open(made) == [("POST", "/api/sessions")]
        pass_time(made, bridge, clock, 300)
        assert made.twice == set()
        assert len(orders_to_open(made)) == 1

    @pytest.mark.parametrize("count", [2, 8])
    def test_before_the_processes_are_known_it_runs_once_as_well(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller, count: int
    ) -> None:
        made = cluster(node, count, apart=0)
        sessions = spread(made, bridge, workspace, 4)
        made.worker_of(sessions[2]).drop(sessions[2].session_id)
        pass_time(made, bridge, clock, THREE_MINUTES)
        assert made.states(sessions[2]) == ["connected"]
        pass_time(made, bridge, clock, 300)
        assert made.twice == set()

    def test_is_left_alone_where_its_bridge_has_brought_it_back(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        made = cluster(node, 3, apart=0.3)
        sessions = spread(made, bridge, workspace, 4)
        pass_time(made, bridge, clock, 100)
        worker = made.worker_of(sessions[0])
        worker.drop(sessions[0].session_id)
        made.deliver()
        worker.running[sessions[0].session_id].state = "connected"  # and its events are lost
        pass_time(made, bridge, clock, THREE_MINUTES)
        assert status_of(sessions[0].account) == Status.CONNECTED
        assert node.commands == []

    def test_again_and_again(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        made = cluster(node, 4, apart=0)
        (session, *_) = spread(made, bridge, workspace, 4)
        pass_time(made, bridge, clock, 100)
        for _ in range(3):
            made.worker_of(session).drop(session.session_id)
            pass_time(made, bridge, clock, THREE_MINUTES)
            assert made.states(session) == ["connected"]
        assert made.twice == set()


class TestAnAttempt:
    def test_goes_to_another_bridge_where_it_can(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        pass_time(cluster(node, 2, apart=1), bridge, clock, 100)
        assert choosing.choose(workspace) == bridge  # there is no other
        with misbehaving_bridge() as other:
            beta = make_bridge("beta", url=other.url, last_heard_at=timezone.now(), weight=1)
            assert choosing.choose(workspace) == beta

    def test_that_ends_is_stopped_at_whichever_runs_it(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        made = cluster(node, 3, apart=1)
        (session, *_) = spread(made, bridge, workspace, 3)
        pass_time(made, bridge, clock, 100)
        in_turn.stop(bridge, session, logout=False)
        assert made.states(session) == []


class TestAProcessThatStarts:
    @pytest.mark.parametrize(("beats", "told"), [(False, 0), (True, 4)])
    def test_restores_nothing_by_itself_for_it_may_run_in_another(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller,
        beats: bool, told: int,
    ) -> None:  # fmt: skip
        made = cluster(node, 2, apart=1)
        spread(made, bridge, workspace, 4)
        key = {"X-API-Key": "alpha-key"}
        assert len(Client().get("/api/whatsapp/accounts/active", headers=key).json()["sessions"]) == 4
        pass_time(made, bridge, clock, 100)
        Bridge.objects.update(last_heartbeat_at=timezone.now() if beats else None)
        assert len(Client().get("/api/whatsapp/accounts/active", headers=key).json()["sessions"]) == told

    @pytest.mark.parametrize(("count", "links"), [(2, 4), (4, 4), (2, 20)])
    def test_after_a_crash_of_one_its_links_are_back_and_run_once(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller,
        count: int, links: int,
    ) -> None:  # fmt: skip
        made = cluster(node, count, apart=1)
        sessions = spread(made, bridge, workspace, links)
        pass_time(made, bridge, clock, 100)
        gone = made.workers[0]
        gone.running.clear()
        gone.began = time.time()
        pass_time(made, bridge, clock, 240)
        assert [made.states(session) for session in sessions] == [["connected"]] * links
        assert made.twice == set()
