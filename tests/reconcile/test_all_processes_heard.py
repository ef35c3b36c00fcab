"""An absence at a bridge of several processes counts when it is proven that all were heard; then it counts at once."""

import itertools
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from accounts.bridges import in_turn, incidents
from accounts.bridges.client import BridgeError, Running
from accounts.bridges.health import Health, told_apart
from accounts.bridges.in_turn import Heard
from accounts.bridges.incidents import Kind
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Workspace
from accounts.orders import outbox
from accounts.reconcile import polling
from accounts.reconcile.heartbeat import hear
from accounts.reconcile.said import Said
from tests.support.cluster import Cluster, bridge, cluster, pass_time, spread
from tests.support.links import status_of
from tests.support.lists import open_kinds
from tests.support.misbehaving import Conversation, MisbehavingBridge, Seen
from tests.support.queue import run_due_tasks
from tests.support.world import Client

__all__ = ["bridge"]

pytestmark = pytest.mark.django_db

THREE_MINUTES = 180


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=True) as travelling:
        yield travelling


@pytest.fixture
def known(bridge: Bridge) -> None:
    incidents.report(bridge.pk, Kind.ALTERNATING, summary="Different processes answer.")


def lists(*names: str) -> list[dict[str, Running]]:
    """Each of them names these sessions, a letter each."""
    return [{letter: Running(letter, "connected") for letter in each} for each in names]


def lose(made: Cluster, session: LinkSession) -> None:
    worker = made.worker_of(session)
    worker.drop(session.session_id)
    worker.vanish(session.session_id)


class TestProof:
    @pytest.mark.parametrize(
        ("answers", "processes", "failed", "is_all"),
        [
            (["ab"] * 5, 1, 0, True),  # one process, and four answers that agree with the first
            (["ab"] * 4, 1, 0, False),
            (["a", "b"] * 3, 1, 0, True),
            (["a", "b", "a", "b", "c", "a"], 1, 0, False),  # the fifth was new
            (["a", "b", "c", "d", "e", "f", *"abcde"], 1, 0, False),  # six were seen: the round is not full
            (["a", "b", "c", "d", "e", "f", *"abcdef"], 1, 0, True),
            ([""] * 9, 12, 0, False),  # their /health tells twelve apart
            ([""] * 20, 12, 0, True),
            (["a"] * 12, 1, 1, True),
            (["a"] * 12, 1, 4, False),  # perhaps another one fails each time
            (["a", "b", "c"] * 20, 3, 3, True),
            ([], 1, 3, False),
        ],
    )
    def test_is_a_full_further_round_that_brings_nothing_new(
        self, answers: list[str], processes: int, failed: int, is_all: bool
    ) -> None:
        assert Heard(lists(*answers), failed, processes).is_all == is_all

    @pytest.mark.parametrize(
        ("uptimes", "count"),
        [
            ([3600, 3600.01, 3600.02], 1),
            ([3600, 3590, 3600.02, 3590.02], 2),
            ([3600.5, 3600.2, 3599.9, 3600.5], 3),
            ([3600, 7200, 10, 7200.1, 10.1], 3),
            ([None, None], 1),
            ([None, 5.5, None, 9.5], 2),
        ],
    )
    def test_processes_are_told_apart_by_when_they_were_started(self, uptimes: list[float | None], count: int) -> None:
        told = [Health({"uptime": uptime}, 50 + n / 100, 50 + n / 100 + 0.005) for n, uptime in enumerate(uptimes)]
        assert told_apart(told) == count


class TestALinkThatDrops:
    @pytest.mark.parametrize(("links", "apart"), [(1, 0), (1, 0.3), (2, 0), (2, 0.3)])
    def test_is_back_though_nothing_looks_like_several_any_more(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller,
        links: int, apart: float,
    ) -> None:  # fmt: skip
        made = cluster(node, 2, apart=apart)
        sessions = spread(made, bridge, workspace, links)
        pass_time(made, bridge, clock, 100)
        for session in sessions:
            lose(made, session)
        pass_time(made, bridge, clock, THREE_MINUTES)
        assert [made.states(session) for session in sessions] == [["connected"]] * links
        assert made.twice == set()

    def test_is_back_though_one_of_twenty_answers_fails(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        made, asked = cluster(node, 3, apart=0.3), itertools.count()
        (session, *_) = spread(made, bridge, workspace, 3)
        pass_time(made, bridge, clock, 100)

        def fail_now_and_then(talk: Conversation, seen: Seen) -> None:
            if next(asked) % 20 == 19:
                talk.answer(503, {"error": "busy"})
            else:
                made.answer(talk, seen)

        node.lists = fail_now_and_then
        lose(made, session)
        pass_time(made, bridge, clock, THREE_MINUTES)
        assert made.states(session) == ["connected"]
        assert made.twice == set()

    def test_is_not_opened_while_one_process_never_gives_its_list(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        made = cluster(node, 2, apart=0.3)
        sessions = spread(made, bridge, workspace, 4)
        pass_time(made, bridge, clock, 100)
        deaf = made.workers[1]

        def refuse(talk: Conversation, seen: Seen) -> None:
            number = next(made.turns)
            if made.workers[number % 2] is deaf:
                talk.answer(503, {"error": "busy"})
            else:
                made.turns = itertools.chain([number], made.turns)
                made.answer(talk, seen)

        node.lists = refuse
        Account.objects.filter(pk=sessions[1].account_id).update(status=Status.DISCONNECTED)
        pass_time(made, bridge, clock, THREE_MINUTES)
        assert node.commands == []

    def test_in_its_quiet_time_is_opened_at_once(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        made = cluster(node, 2, apart=0.3)
        (session, *_) = spread(made, bridge, workspace, 4)
        pass_time(made, bridge, clock, 100)
        LinkSession.objects.filter(pk=session.pk).update(authenticated_at=timezone.now() - timedelta(seconds=10))
        lose(made, session)
        pass_time(made, bridge, clock, 75)
        assert made.states(session) == ["connected"]

    def test_is_back_where_the_processes_send_heartbeats(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        made = cluster(node, 2, apart=1)
        (session, *_) = spread(made, bridge, workspace, 4)

        def beat(number: int) -> None:
            clock.shift(15)
            made.deliver()
            worker = made.workers[number % 2]
            listed = {name: Running(name, client.state) for name, client in worker.running.items()}
            hear(bridge.pk, Said(listed=listed, boot=f"boot-{number % 2}"), heartbeat=True)
            polling.poll_all()
            run_due_tasks()
            made.deliver()
            made.look()

        for number in range(8):
            beat(number)
        assert open_kinds(bridge) == {Kind.ALTERNATING}
        lose(made, session)
        for number in range(THREE_MINUTES // 15):
            beat(number)
        assert made.states(session) == ["connected"]
        assert made.twice == set()

    @pytest.mark.parametrize(("count", "links", "apart"), [(2, 20, 0.3), (4, 4, 0), (2, 4, 3)])
    def test_with_all_the_others_is_back_soon_after_all_processes_were_started_anew(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller,
        count: int, links: int, apart: float,
    ) -> None:  # fmt: skip
        made = cluster(node, count, apart=0.3)
        sessions = spread(made, bridge, workspace, links)
        pass_time(made, bridge, clock, 100)
        for number, worker in enumerate(made.workers):
            worker.running.clear()
            worker.began = time.time() - number * apart
        pass_time(made, bridge, clock, THREE_MINUTES + 30)
        assert [made.states(session) for session in sessions] == [["connected"]] * links
        assert made.twice == set()


class TestABridgeThatIsSlow:
    def answer(self, made: Cluster) -> None:
        def slowly(talk: Conversation, seen: Seen) -> None:
            time.sleep(0.03)
            made.answer(talk, seen)

        made.node.lists = slowly
        made.node.plays(slowly)

    @pytest.mark.parametrize("count", [8, 16, 24])
    def test_is_not_believed_that_nobody_runs_a_link_before_all_were_asked(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, monkeypatch: pytest.MonkeyPatch, count: int
    ) -> None:
        made = cluster(node, count, apart=0)
        spread(made, bridge, workspace, count)
        self.answer(made)
        monkeypatch.setattr(in_turn, "WITHIN", 0.15)
        with pytest.raises(BridgeError):
            in_turn.find(bridge, "nowhere")

    @pytest.mark.usefixtures("known")
    @pytest.mark.parametrize("count", [2, 3])
    def test_is_told_at_each_process_where_their_number_is_known(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, monkeypatch: pytest.MonkeyPatch, count: int
    ) -> None:
        made = cluster(node, count, apart=1)
        (session, *_) = spread(made, bridge, workspace, count)
        self.answer(made)
        monkeypatch.setattr(in_turn, "WITHIN", 0.35)
        in_turn.stop(bridge, session, logout=False)
        assert made.states(session) == []
        assert len(node.commands) < in_turn.A_FEW

    @pytest.mark.usefixtures("known")
    def test_is_not_done_with_where_some_were_not_told(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = cluster(node, 12, apart=1)
        (session, *_) = spread(made, bridge, workspace, 12)
        self.answer(made)
        monkeypatch.setattr(in_turn, "WITHIN", 0.2)
        with pytest.raises(BridgeError):
            in_turn.stop(bridge, session, logout=False)


class TestMany:
    @pytest.mark.usefixtures("known")
    @pytest.mark.parametrize("count", [20, 32])
    def test_are_each_told(self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, count: int) -> None:
        made = cluster(node, count, apart=0.3)
        *_, last = spread(made, bridge, workspace, count)
        in_turn.stop(bridge, last, logout=False)
        assert made.states(last) == []

    @pytest.mark.usefixtures("known")
    @pytest.mark.parametrize("apart", [0, 0.3])
    def test_are_each_asked_also_where_few_of_them_run_anything(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, apart: float
    ) -> None:
        made = cluster(node, 32, apart=apart, turns=itertools.count(2))
        sessions = spread(made, bridge, workspace, 2)
        assert in_turn.find(bridge, sessions[0].session_id) is not None
        assert in_turn.hear_all(bridge, within=5).listed.keys() == {session.session_id for session in sessions}


class TestACheck:
    @pytest.mark.usefixtures("known")
    @pytest.mark.parametrize("why", [BridgeOrder.Why.REPEATED, BridgeOrder.Why.LATE_QR])
    @pytest.mark.parametrize("left", ["disconnected", "qr_scanning", "error"])
    def test_does_not_trust_what_one_process_has_left_of_a_link(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, why: BridgeOrder.Why, left: str
    ) -> None:
        made = cluster(node, 2, apart=0.3)
        _first, session, *_ = spread(made, bridge, workspace, 4)
        made.workers[0].running[session.session_id] = Client(left)
        for _ in range(2):  # so that each process would come first
            with transaction.atomic():
                outbox.ask(session, why)
            run_due_tasks()
            next(made.turns)
        assert status_of(session.account) == Status.CONNECTED


class TestCost:
    @pytest.mark.parametrize("absent_polls", [1, 900])
    def test_a_link_that_is_lost_already_costs_no_long_row(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, absent_polls: int
    ) -> None:
        made = cluster(node, 1, apart=0)
        session, _other = spread(made, bridge, workspace, 2)
        made.workers[0].vanish(session.session_id)
        LinkSession.objects.filter(pk=session.pk).update(absent_polls=absent_polls)
        Account.objects.filter(pk=session.account_id).update(status=Status.DISCONNECTED)
        asked = len(node.seen)
        polling.poll(bridge.pk)
        assert len(node.seen) - asked == 3


class TestOneProcess:
    @pytest.mark.parametrize("lost", [(0,), (0, 1), (0, 1, 2)])
    def test_whose_words_are_lost_and_whose_links_come_back_by_themselves_is_one(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller,
        lost: tuple[int, ...],
    ) -> None:  # fmt: skip
        made = cluster(node, 1, apart=0)
        sessions = spread(made, bridge, workspace, 4)
        (process,) = made.workers
        pass_time(made, bridge, clock, 60)
        for number in lost:
            name = sessions[number].session_id
            client = process.running.pop(name)
            pass_time(made, bridge, clock, 30)
            process.running[name] = client
            pass_time(made, bridge, clock, 90)
        assert open_kinds(bridge) == set()
        process.drop(sessions[3].session_id)
        pass_time(made, bridge, clock, THREE_MINUTES)
        assert made.states(sessions[3]) == ["connected"]

    def test_that_restores_one_link_after_another_while_it_is_asked_is_one(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        made = cluster(node, 1, apart=0)
        spread(made, bridge, workspace, 12)
        (process,) = made.workers
        whole = dict(process.running)

        def restore_another(talk: Conversation, seen: Seen) -> None:
            if next(asked) % 3 == 0:
                process.running |= itertools.islice(waiting, 1)
            made.answer(talk, seen)

        node.lists = restore_another
        for _ in range(3):
            process.running.clear()
            process.began = time.time()
            asked, waiting = itertools.count(), iter(whole.items())
            for _look in range(2):
                clock.shift(timedelta(seconds=30))
                polling.poll(bridge.pk)
        assert open_kinds(bridge) == set()
