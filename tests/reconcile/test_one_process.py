"""A bridge that is one process never counts as several, whatever comes and goes there; what looks like several holds
recovery back for one look."""

import itertools
import random
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from accounts.bridges.incidents import Kind
from accounts.models import Bridge, LinkSession, Workspace
from accounts.reconcile import polling
from tests.support.cluster import bridge, cluster, pass_time, spread
from tests.support.lists import open_kinds, row, shows
from tests.support.misbehaving import Conversation, MisbehavingBridge, Seen
from tests.support.queue import run_due_tasks

__all__ = ["bridge"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=True) as travelling:
        yield travelling


class TestOneProcess:
    def test_that_pairs_loses_and_restores_all_day_never_counts_as_several(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        """Also between two answers of one poll."""
        made = cluster(node, 1, apart=0)
        spread(made, bridge, workspace, 6)
        (process,), chance = made.workers, random.Random(7)

        def live() -> None:
            session_id = f"s{chance.randrange(6)}"
            client = process.running.get(session_id)
            if client is None:
                process.start(session_id)
            elif client.state == "connected":
                chance.choice([process.drop, process.vanish])(session_id)
            else:
                process.start(session_id)

        def while_it_is_asked(talk: Conversation, seen: Seen) -> None:
            if seen.path == "/api/sessions":
                live()
                node.lists = made.answer
            made.answer(talk, seen)

        for turn in range(40):
            live()
            if turn % 2 == 0:
                node.lists = while_it_is_asked
            if turn % 10 == 9:
                process.crash(made.answer)
                process.come_up()
                process.restore([f"s{number}" for number in range(6)])
            pass_time(made, bridge, clock, 30)
            assert open_kinds(bridge) <= {Kind.MASS_LOSS}

    @pytest.mark.parametrize("uptime", [3600, 3600.0, 10**7, None])
    def test_whose_clock_stands_still_or_is_not_told(
        self, bridge: Bridge, node: MisbehavingBridge, uptime: float | None
    ) -> None:
        made = cluster(node, 1, apart=0)
        health = made.workers[0]._health()
        node.lists = lambda talk, seen: talk.answer(
            200, health | {"uptime": uptime, "sessions": [] if seen.path != "/health" else {"total": 0}}
        )
        for _ in range(4):
            polling.poll(bridge.pk)
        assert open_kinds(bridge) == set()

    def test_that_is_started_anew_while_it_is_asked(
        self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        made = cluster(node, 1, apart=0)
        spread(made, bridge, workspace, 2)
        (process,) = made.workers
        for _ in range(3):
            asked = itertools.count()

            def answer(talk: Conversation, seen: Seen, asked: Iterator[int] = asked) -> None:
                if next(asked) == 1:
                    process.come_up()
                made.answer(talk, seen)

            node.lists = answer
            clock.shift(timedelta(seconds=30))
            polling.poll(bridge.pk)
        assert open_kinds(bridge) == set()


class TestASignThatOneProcessCanGive:
    @pytest.fixture
    def missing(self, bridge: Bridge, workspace: Workspace, node: MisbehavingBridge) -> LinkSession:
        """It is in no list any more, and is due to be restored."""
        made = cluster(node, 1, apart=0)
        session, _other = spread(made, bridge, workspace, 2)
        made.workers[0].vanish(session.session_id)
        LinkSession.objects.filter(pk=session.pk).update(absent_polls=5)
        return session

    @pytest.mark.parametrize("total", [0, 2, 7])
    def test_holds_recovery_back_for_one_more_look_and_no_longer(
        self, bridge: Bridge, node: MisbehavingBridge, missing: LinkSession, total: int
    ) -> None:
        listed = [row("s1")]
        shows(node, *listed, sessions={"total": total})
        polling.poll(bridge.pk)
        run_due_tasks()
        assert node.commands == []
        polling.poll(bridge.pk)  # it says the same again
        run_due_tasks()
        assert node.commands == [("POST", "/api/sessions")]
        for _ in range(4):
            polling.poll(bridge.pk)
        assert open_kinds(bridge) == set()

    @pytest.mark.parametrize("total", [1, "1", None, True, {"x": 1}])
    def test_is_none_where_the_answers_agree_or_do_not_say(
        self, bridge: Bridge, node: MisbehavingBridge, missing: LinkSession, total: object
    ) -> None:
        shows(node, row("s1"), sessions={"total": total})
        polling.poll(bridge.pk)
        run_due_tasks()
        assert node.commands == [("POST", "/api/sessions")]
