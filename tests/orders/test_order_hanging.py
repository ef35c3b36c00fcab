"""A bridge that hangs on whatever it is told, and has much to be told: the other bridges' people notice nothing."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection
from django.utils import timezone

from accounts.bridges import client
from accounts.jobs.queue import enqueue
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, StraySession, Workspace
from accounts.pairing import attempts
from tests.support import misbehaving
from tests.support.misbehaving import Conversation, MisbehavingBridge, Seen, faithful, misbehaving_bridge
from tests.support.orders import bridge, node
from tests.support.portal import make_bridge
from tests.support.queue import run_due_tasks, work

__all__ = ["bridge", "node"]

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

WORKERS = 4
SERVED = 10  # of another bridge, while this one hangs
SOON = client.COMMAND_WITHIN / 2  # seconds; whoever waits behind one command that hangs waits twice as long


@pytest.fixture
def other_node() -> Iterator[MisbehavingBridge]:
    with misbehaving_bridge() as server:
        yield server


class Wire:
    """How many commands are open there at once, and for which sessions."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.most, self.lock = 0, threading.Lock()
        self.twice: set[str] = set()

    def hangs(self, talk: Conversation, seen: Seen) -> None:
        with self.lock:
            self.twice |= {seen.path} & set(self.open)
            self.open.append(seen.path)
            self.most = max(self.most, len(self.open))
        misbehaving.hangs(talk, seen)


@contextmanager
def workers(node: MisbehavingBridge) -> Iterator[None]:
    over = threading.Event()

    def one() -> None:
        try:
            work(over)
        finally:
            connection.close()

    with ThreadPoolExecutor(WORKERS) as pool:
        running = [pool.submit(one) for _ in range(WORKERS)]
        try:
            yield
        finally:
            over.set()
            node.stopping.set()  # nobody waits any longer
    for each in running:
        each.result()


def much_to_tell(bridge: Bridge, workspace: Workspace) -> None:
    """Starts, stops, and strays that each of three lists has named."""
    stopped = [pair(bridge, workspace, 10 + number) for number in range(2)]
    run_due_tasks()
    for session in stopped:
        attempts.force_reset(session.account_id)
    for number in range(2):
        pair(bridge, workspace, 20 + number)
    strays = [
        StraySession.objects.create(bridge=bridge, session_id=f"s{n}", outcome="stopped", settled_at=timezone.now())
        for n in range(10)
    ]
    for _ in range(3):
        for stray in strays:
            enqueue("stop_stray", stray.pk)


def pair(bridge: Bridge, workspace: Workspace, number: int) -> LinkSession:
    account = Account.objects.create(workspace=workspace, phone_number=f"62811000{number:04}")
    return attempts.start(account.pk, trigger="test", bridge=bridge)


def test_others_are_served_by_four_workers_as_if_it_were_not_there(
    bridge: Bridge, node: MisbehavingBridge, other_node: MisbehavingBridge, workspace: Workspace
) -> None:
    other = make_bridge("beta", url=other_node.url, pairings_at_once=100)
    arrived: dict[str, float] = {}

    def note(talk: Conversation, seen: Seen) -> None:
        arrived[seen.body["session_id"]] = time.monotonic()
        faithful(talk, seen)

    other_node.plays(note)
    much_to_tell(bridge, workspace)
    wire = Wire()
    node.plays(wire.hangs)
    ordered: dict[str, float] = {}
    with workers(node):
        for number in range(SERVED):
            time.sleep(0.5)
            ordered[pair(other, workspace, 100 + number).session_id] = time.monotonic()
        until = time.monotonic() + 30
        while len(arrived) < SERVED and time.monotonic() < until:
            time.sleep(0.1)
        assert not node.stopping.is_set(), "it hung all the time"
    took = sorted(arrived[session_id] - ordered[session_id] for session_id in ordered)
    print(f"served after {took[len(took) // 2]:.2f} s (median), {took[-1]:.2f} s (longest)")
    assert took[-1] < SOON
    assert (wire.most, wire.twice) == (2, set()), "one start and one of the rest"
    assert BridgeOrder.objects.filter(bridge=other, state=BridgeOrder.State.CONFIRMED).count() == SERVED
