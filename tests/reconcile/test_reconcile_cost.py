"""What a comparison costs and leaves behind, however long the list and whatever its names."""

import itertools
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.bridges import presence
from accounts.bridges.client import Running
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, ReconcileRun, Workspace
from accounts.reconcile import run as reconcile
from accounts.reconcile import unwanted
from tests.support.links import move_back
from tests.support.lists import beat, bridge, compare, crowd, linked, missing_twice, poll, row, settle, shows
from tests.support.misbehaving import Conversation, MisbehavingBridge, Seen
from tests.support.queue import run_due_tasks
from webhooks.authentication import forget_secrets

__all__ = ["bridge", "linked"]

pytestmark = pytest.mark.django_db(transaction=True)


class TestSummary:
    def test_is_kept_when_something_is_new_and_now_and_then(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        shows(node, row(linked))
        for _ in range(3):
            poll()
        run = ReconcileRun.objects.get()
        assert (run.expected, run.running, run.absent, run.restored) == (1, 1, 0, 0)
        shows(node, row(linked), row("stranger"))
        poll()
        assert ReconcileRun.objects.count() == 2
        ReconcileRun.objects.update(at=timezone.now() - timedelta(minutes=11))
        poll()
        assert ReconcileRun.objects.count() == 3


def test_a_long_list_of_moves_is_done_in_several_runs(
    linked: LinkSession, node: MisbehavingBridge, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat waits for its answer."""
    monkeypatch.setattr(reconcile, "MOVES_AT_ONCE", 4)
    monkeypatch.setattr(reconcile, "AGAIN", 0)
    ids = crowd(linked, 9)
    shows(node, row(linked, "disconnected"), *[row(name, "disconnected") for name in ids])
    poll()
    lost = Account.objects.filter(status=Status.DISCONNECTED)
    assert lost.count() == 4
    move_back(linked, 0)
    run_due_tasks(within=2)
    assert lost.count() == 10


def test_a_bridge_that_makes_up_names_is_not_asked_without_end(bridge: Bridge, node: MisbehavingBridge) -> None:
    numbers = itertools.count()

    def answer(talk: Conversation, seen: Seen) -> None:
        rows = [row(f"made-up-{next(numbers)}")] if seen.path != "/health" else []
        talk.answer(200, {"status": "healthy", "sessions": rows})

    node.lists = answer
    poll()
    assert run_due_tasks(within=30) == 0
    beat("made-up-by-a-heartbeat")
    assert run_due_tasks(within=30) == 1


def queries_of(do: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        do()
    return len(queries)


class TestCost:
    @pytest.mark.parametrize("size", [50, 500])
    def test_where_nothing_differs_it_is_the_same_however_many_there_are(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge, size: int
    ) -> None:
        ids = [str(linked), *crowd(linked, size - 1)]
        shows(node, *[row(name) for name in ids])
        listed = {name: Running(name, "connected") for name in ids}
        poll()
        forget_secrets()
        beat(*ids)
        presence._heard[bridge.pk] = (
            time.monotonic()
        )  # that and the secrets are asked for every 10 s, and are not counted
        # In another order: two equal heartbeats within a second are one that is repeated.
        ways = (lambda: beat(*reversed(ids)), poll, lambda: compare(bridge, listed))
        # Of the first, one reads whether the bridge has ever signed by version 2, and must since then; two note this
        # request, so that nobody sends it again; one reads whether it is known as several processes.
        assert [queries_of(way) for way in ways] == [25, 30, 16]

    def test_and_what_differs_is_put_right_so_many_at_once(
        self, linked: LinkSession, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A heartbeat waits for its answer."""
        ids = crowd(linked, 60)
        down = {name: Running(name, "disconnected") for name in ids}
        assert queries_of(lambda: compare(bridge, down)) < 10 * reconcile.MOVES_AT_ONCE
        Account.objects.update(status=Status.CONNECTED)
        settle()
        missing_twice()
        assert queries_of(lambda: compare(bridge, {})) < 10 * reconcile.MOVES_AT_ONCE
        BridgeOrder.objects.all().delete()
        LinkSession.objects.filter(session_id__in=ids).update(ended_at=timezone.now(), end_reason="reset")
        ended = {name: Running(name, "qr_scanning") for name in ids}
        assert queries_of(lambda: compare(bridge, ended)) < 30  # too many: none is stopped
        monkeypatch.setattr(unwanted, "STOPS_SHARE", 1)
        for told in (1, 2, 3):
            assert queries_of(lambda: compare(bridge, ended)) < 15 * unwanted.AT_ONCE + 30
            assert BridgeOrder.objects.filter(kind=BridgeOrder.Kind.STOP).count() == told * unwanted.AT_ONCE
        assert queries_of(lambda: compare(bridge, ended)) < 30  # all are under way
