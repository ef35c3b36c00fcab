"""A hard end holds: what the bridge opens by itself after the stop is stopped again at once, and the history says so
only when a stop was ordered. A Node bridge opens again what it lost less than 5 s before it was told to stop it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from django_q.models import OrmQ

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Workspace
from accounts.pairing import attempts
from accounts.reconcile import polling, run
from tests.support.links import QR, READY, status_of, stops_of
from tests.support.misbehaving import MisbehavingBridge, list_sessions
from tests.support.orders import bridge, linked, node
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked", "node"]

pytestmark = pytest.mark.django_db(transaction=True)

REVIVED: list[tuple[str, dict[str, Any]]] = [
    ("session_reconnected", {"status": "reconnected"}),
    ("session_authenticated", {"status": "authenticated"}),
    ("session_ready", READY),
    ("qr_code_generated", QR),
    ("session_error", {"error": "webhook_send_failed", "phone_number": READY["phone_number"]}),
]


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=True) as travelling:
        yield travelling


@pytest.fixture
def stopped(linked: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller) -> LinkSession:
    """Reset by staff, just after it was lost."""
    node.says = {linked.session_id: "connected"}
    attempts.force_reset(linked.account_id)
    run_due_tasks()
    assert deletes(node) == 1
    assert node.running == set()
    return linked


def connected(workspace: Workspace, portal: Portal, bridge: Bridge) -> LinkSession:
    account = Account.objects.create(workspace=workspace, label="Bob")
    session = attempts.start(account.pk, trigger="test", bridge=bridge)
    run_due_tasks()
    portal.post("session_ready", session, phone_number=f"62812000100{account.pk % 100:02}")
    return session


def stop(session: LinkSession) -> None:
    session.refresh_from_db()
    attempts.force_reset(session.account_id)
    run_due_tasks()


def deletes(node: MisbehavingBridge) -> int:
    return [method for method, _path in node.commands].count("DELETE")


class TestRevived:
    @pytest.mark.parametrize(("event", "data"), REVIVED)
    def test_by_its_bridge_it_is_stopped_again_at_once(
        self, portal: Portal, stopped: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller,
        event: str, data: dict[str, Any],
    ) -> None:  # fmt: skip
        clock.shift(5)
        node.running.add(stopped.session_id)
        portal.post(event, stopped, **data)
        run_due_tasks()
        assert node.running == set()
        assert deletes(node) == 2
        assert status_of(stopped.account) == Status.INACTIVE

    @pytest.mark.parametrize("after", [1.8, 3, 8, 30])
    def test_sooner_or_later(
        self, portal: Portal, stopped: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller, after: float
    ) -> None:
        """A `session_ready` that was under way comes 1.8 s after the stop."""
        clock.shift(after)
        node.running.add(stopped.session_id)
        portal.post("session_ready", stopped, **READY)
        run_due_tasks()
        assert node.running == set()

    def test_again_and_again(
        self, portal: Portal, stopped: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        for again in range(1, 4):
            clock.shift(10)
            node.running.add(stopped.session_id)
            portal.post("session_authenticated", stopped, status="authenticated")
            run_due_tasks()
            assert node.running == set()
            assert deletes(node) == 1 + again

    def test_in_silence_as_its_events_were_lost(
        self, stopped: LinkSession, account: Account, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        clock.shift(5)
        node.running.add(stopped.session_id)
        clock.shift(3)
        run_due_tasks()
        assert node.running == set()
        assert deletes(node) == 2
        assert account.transitions.filter(reason__contains="it is stopped there").count() == 1


class TestSeveralStopsOfOneBridge:
    @pytest.mark.parametrize("apart", [0, 0.4, 1.1, 3, 5, 6.9])
    def test_each_has_its_own_look(
        self, workspace: Workspace, portal: Portal, linked: LinkSession, node: MisbehavingBridge,
        clock: time_machine.Traveller, apart: float,
    ) -> None:  # fmt: skip
        """The second one is opened again 5 s after its stop, and its events are lost."""
        first = connected(workspace, portal, linked.bridge)
        node.says = dict.fromkeys([first.session_id, linked.session_id], "connected")
        stop(first)
        clock.shift(apart)
        stop(linked)
        assert node.running == set()
        clock.shift(5)
        run_due_tasks()
        node.running.add(linked.session_id)
        clock.shift(3)
        run_due_tasks()
        assert node.running == set()

    def test_whatever_else_has_ordered_a_poll(
        self, linked: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        node.says = {linked.session_id: "connected"}
        run.poll_soon(linked.bridge)
        clock.shift(5)
        stop(linked)
        clock.shift(4)
        run_due_tasks()
        node.running.add(linked.session_id)
        clock.shift(4)
        run_due_tasks()
        assert node.running == set()

    def test_ten_in_one_second_cost_one_look(self, workspace: Workspace, portal: Portal, linked: LinkSession) -> None:
        others = [connected(workspace, portal, linked.bridge) for _ in range(10)]
        with time_machine.travel(timezone.now(), tick=False):
            for session in others:
                stop(session)
        assert [task.func() for task in OrmQ.objects.all()].count("accounts.tasks.poll_bridge") == 1


class TestTheHistory:
    def test_says_nothing_of_a_stop_that_was_not_ordered(
        self, stopped: LinkSession, account: Account, node: MisbehavingBridge
    ) -> None:
        """The list is older than the stop, or the bridge is slow to stop it."""
        before = account.transitions.count()
        node.running.add(stopped.session_id)
        BridgeOrder.objects.filter(kind=BridgeOrder.Kind.STOP).update(closed_at=timezone.now())
        polling.poll(stopped.bridge_id)
        assert stops_of(stopped).count() == 1
        assert account.transitions.count() == before

    def test_tells_of_each_kind_of_stop_that_was(
        self, stopped: LinkSession, account: Account, node: MisbehavingBridge, clock: time_machine.Traveller
    ) -> None:
        for _ in range(4):
            clock.shift(30)
            node.running.add(stopped.session_id)
            polling.poll(stopped.bridge_id)
            run_due_tasks()
        told = account.transitions.filter(trigger="reconcile").count()
        assert (told, stops_of(stopped).count()) == (1, 5)  # once a day, while it lasts


def test_one_that_does_not_stop_is_told_once_a_minute_in_the_end(
    portal: Portal, stopped: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller
) -> None:
    node.lists = list_sessions
    for _ in range(90):  # a code every 20 s, for half an hour
        clock.shift(20)
        node.running.add(stopped.session_id)
        portal.post("qr_code_generated", stopped, **QR)
        run_due_tasks()
    assert 20 <= deletes(node) <= 45


@pytest.mark.parametrize("end", ["reset", "logged out", "given up", "refused"])
def test_whatever_ended_it(
    portal: Portal, linked: LinkSession, node: MisbehavingBridge, clock: time_machine.Traveller, end: str
) -> None:
    ends: dict[str, Callable[[], object]] = {
        "reset": lambda: attempts.force_reset(linked.account_id),
        "logged out": lambda: portal.post("session_disconnected", linked, reason="LOGOUT"),
        "given up": lambda: portal.post("session_expired", linked, reason="no answer"),
        "refused": lambda: portal.post("session_disconnected", linked, reason="TOS_BLOCK"),
    }
    ends[end]()
    linked.refresh_from_db()
    assert not linked.is_open
    run_due_tasks()
    assert node.running == set()
    clock.shift(5)
    node.running.add(linked.session_id)
    portal.post("session_reconnected", linked, status="reconnected")
    run_due_tasks()
    assert node.running == set()


def test_a_late_word_from_before_the_stop_costs_no_other(
    portal: Portal, stopped: LinkSession, node: MisbehavingBridge
) -> None:
    for event, data in REVIVED:
        portal.post(event, stopped, **data)
    run_due_tasks()
    assert deletes(node) <= 2
