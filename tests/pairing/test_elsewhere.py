"""An attempt whose start surely did not arrive goes to another bridge at once: a dead bridge costs none."""

import errno
import socket
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from accounts.bridges import choosing, client
from accounts.delivery import dispatcher
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, Incident, LinkSession, Workspace
from accounts.pairing import attempts
from tests.support import misbehaving
from tests.support.links import QR, status_of
from tests.support.misbehaving import MisbehavingBridge, carries_it_out, faithful, misbehaving_bridge, status
from tests.support.orders import start_of, wait
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.races import at_once
from tests.support.servers import free_port

State = BridgeOrder.State

pytestmark = pytest.mark.django_db


@pytest.fixture
def dead() -> Bridge:
    """It was heard of a moment ago, and nobody listens there any more."""
    return make_bridge("dead", url=f"http://127.0.0.1:{free_port()}", last_heard_at=timezone.now())


@pytest.fixture
def idle(node: MisbehavingBridge) -> Bridge:
    node.plays(faithful)
    return make_bridge("idle", url=node.url, last_heard_at=timezone.now())


def begin(workspace: Workspace, bridge: Bridge) -> LinkSession:
    account = Account.objects.create(workspace=workspace, label="Alice")
    return attempts.start(account.pk, trigger="test", bridge=bridge)


def fails_to_connect(monkeypatch: pytest.MonkeyPatch, bridge: Bridge, error: OSError) -> None:
    """What the system says of a host that is gone cannot be had from this one."""
    real, port = socket.create_connection, urlsplit(bridge.url).port

    def connect(address: tuple[str, int], *args: Any, **more: Any) -> socket.socket:
        if address[1] == port:
            raise error
        return real(address, *args, **more)

    monkeypatch.setattr(socket, "create_connection", connect)


def test_it_goes_to_an_idle_one(workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge) -> None:
    session = begin(workspace, dead)
    run_due_tasks()
    session.refresh_from_db()
    assert session.bridge == idle
    assert node.running == {session.session_id}
    assert status_of(session.account) == Status.QR_SCANNING
    told = session.account.transitions.filter(trigger="line")
    assert told.get().reason == "Nobody listens at dead: it goes to idle."
    assert list(session.orders.order_by("pk").values_list("state", "bridge__name")) == [
        (State.CANCELLED, "dead"),
        (State.CONFIRMED, "idle"),
    ]


def test_of_six_that_begin_just_after_its_death_none_is_lost(
    workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge
) -> None:
    sessions = []
    for _ in range(6):
        account = Account.objects.create(workspace=workspace, label="Alice")
        sessions.append(attempts.start(account.pk, trigger="test"))
    assert {session.bridge for session in sessions} == {dead, idle}
    idle_before = idle.pairings_at_once
    Bridge.objects.update(pairings_at_once=10)
    run_due_tasks()
    assert idle_before == 5
    assert node.running == {session.session_id for session in sessions}
    assert not Account.objects.exclude(status=Status.QR_SCANNING).exists()


def test_those_that_wait_behind_it_in_line_go_as_well(
    workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge
) -> None:
    Bridge.objects.filter(pk=dead.pk).update(pairings_at_once=1)
    Bridge.objects.filter(pk=idle.pk).update(pairings_at_once=10)
    sessions = [begin(workspace, dead) for _ in range(3)]
    for _ in range(6):
        run_due_tasks()
        Bridge.objects.update(orders_wait_until=None)
        BridgeOrder.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        dispatcher.sweep()
    assert node.running == {session.session_id for session in sessions}


def test_it_waits_in_line_where_the_other_is_busy(
    workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge
) -> None:
    Bridge.objects.filter(pk=idle.pk).update(pairings_at_once=1)
    first, second = begin(workspace, idle), begin(workspace, dead)
    run_due_tasks()
    second.refresh_from_db()
    assert second.bridge == idle
    assert second.waits_in_line
    assert node.running == {first.session_id}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_by_whatever_name(workspace: Workspace, idle: Bridge, node: MisbehavingBridge, host: str) -> None:
    dead = make_bridge("dead", url=f"http://{host}:{free_port()}", last_heard_at=timezone.now())
    session = begin(workspace, dead)
    run_due_tasks()
    assert node.running == {session.session_id}


@pytest.mark.parametrize("number", ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN"])
def test_where_no_way_leads_to_its_host(
    workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge, number: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    fails_to_connect(monkeypatch, dead, OSError(getattr(errno, number), number))
    session = begin(workspace, dead)
    run_due_tasks()
    assert node.running == {session.session_id}


@pytest.mark.parametrize("host", ["bridge-gone.invalid", "gone.invalid", "a..b", "x" * 64, "[::1%nowhere]"])
def test_where_its_name_is_nobodys(workspace: Workspace, idle: Bridge, node: MisbehavingBridge, host: str) -> None:
    gone = make_bridge("gone", url=f"http://{host}:3001", last_heard_at=timezone.now())
    session = begin(workspace, gone)
    run_due_tasks()
    session.refresh_from_db()
    assert session.bridge == idle
    assert node.running == {session.session_id}


class TestTheOther:
    def test_takes_it_even_if_it_gave_no_code_lately(
        self, workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge
    ) -> None:
        bob = Account.objects.create(workspace=workspace, label="Bob")
        lately = {"ended_at": timezone.now() - timedelta(minutes=5), "end_reason": EndReason.BRIDGE_UNAVAILABLE}
        LinkSession.objects.create(session_id="old", account=bob, bridge=idle, **lately)
        assert choosing.choose(workspace) == dead
        session = begin(workspace, dead)
        run_due_tasks()
        assert node.running == {session.session_id}

    @pytest.mark.parametrize("what", ["busy", "heavy", "several"])
    def test_takes_it_even_if_the_dead_one_looks_better(
        self, workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge, what: str
    ) -> None:
        if what == "several":
            Incident.objects.create(bridge=idle, kind=Incident.Kind.ALTERNATING)
        Bridge.objects.filter(pk=idle.pk).update(
            **{"busy": {"pairings_at_once": 0}, "heavy": {"weight": 1}}.get(what, {})
        )
        Bridge.objects.filter(pk=dead.pk).update(weight=100)
        session = begin(workspace, dead)
        run_due_tasks()
        session.refresh_from_db()
        assert session.bridge == idle

    def test_is_the_best_of_those_that_work(
        self, workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge
    ) -> None:
        make_bridge("sick", url=dead.url, last_heard_at=timezone.now(), failing_since=timezone.now(), weight=500)
        session = begin(workspace, dead)
        run_due_tasks()
        assert node.running == {session.session_id}


class TestItStays:
    @pytest.fixture
    def sick(self) -> Iterator[MisbehavingBridge]:
        with misbehaving_bridge() as server:
            yield server

    @pytest.mark.parametrize(
        "act",
        [
            misbehaving.drops_the_line,
            misbehaving.hangs,
            misbehaving.says_html,
            status(502),
            status(504),
            status(500),
            status(503),
            status(429),
        ],
    )
    def test_where_it_may_have_arrived(
        self, workspace: Workspace, idle: Bridge, node: MisbehavingBridge, sick: MisbehavingBridge,
        act: misbehaving.Act, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(client, "COMMAND_WITHIN", 1)
        bridge = make_bridge("sick", url=sick.url, last_heard_at=timezone.now())
        sick.plays(carries_it_out(act))
        session = begin(workspace, bridge)
        run_due_tasks()
        session.refresh_from_db()
        assert session.bridge == bridge
        assert node.commands == []

    @pytest.mark.parametrize(
        "error", [ConnectionResetError(errno.ECONNRESET, ""), TimeoutError(), OSError(errno.EMFILE, "")]
    )
    def test_where_the_connection_is_not_made_and_nobody_knows_why(
        self, workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge, error: OSError,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        fails_to_connect(monkeypatch, dead, error)
        session = begin(workspace, dead)
        run_due_tasks()
        session.refresh_from_db()
        assert session.bridge == dead
        assert node.commands == []

    def test_where_an_earlier_try_may_have_arrived(
        self, workspace: Workspace, idle: Bridge, node: MisbehavingBridge, sick: MisbehavingBridge
    ) -> None:
        bridge = make_bridge("sick", url=sick.url, last_heard_at=timezone.now())
        sick.plays(status(500))
        session = begin(workspace, bridge)
        run_due_tasks()
        Bridge.objects.filter(pk=bridge.pk).update(url=f"http://127.0.0.1:{free_port()}")
        wait(start_of(session), 30)
        session.refresh_from_db()
        assert session.bridge == bridge
        assert node.commands == []

    @pytest.mark.parametrize("why_not", [{"draining": True}, {"weight": 0}, {"capacity": 0}, {"last_heard_at": None}])
    def test_where_no_other_takes_it(
        self, workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge, why_not: dict[str, object]
    ) -> None:
        session = begin(workspace, dead)
        Bridge.objects.filter(pk=idle.pk).update(**why_not)
        run_due_tasks()
        assert start_of(session).state == State.PENDING
        assert status_of(session.account) == Status.QR_SCANNING
        assert node.commands == []

    def test_where_the_other_is_dead_too(self, workspace: Workspace, dead: Bridge) -> None:
        other = make_bridge("dead too", url=f"http://127.0.0.1:{free_port()}", last_heard_at=timezone.now())
        sessions = [begin(workspace, dead), begin(workspace, other)]
        run_due_tasks()
        assert BridgeOrder.objects.count() <= 4
        assert sum(session.account.transitions.filter(trigger="line").count() for session in sessions) <= 2

    def test_once_it_has_shown_a_code(
        self, workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge
    ) -> None:
        session = begin(workspace, dead)
        Portal("dead-hmac").post("qr_code_generated", session, **QR)
        run_due_tasks()
        session.refresh_from_db()
        assert session.bridge == dead
        assert node.commands == []

    def test_a_link(self, workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge) -> None:
        session = begin(workspace, dead)
        LinkSession.objects.update(authenticated_at=timezone.now())
        run_due_tasks()
        session.refresh_from_db()
        assert session.bridge == dead
        assert node.commands == []


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_workers_the_sweep_and_new_attempts_make_one_client_each(
        self, workspace: Workspace, dead: Bridge, idle: Bridge, node: MisbehavingBridge
    ) -> None:
        Bridge.objects.filter(pk=idle.pk).update(pairings_at_once=20)
        sessions = [begin(workspace, dead) for _ in range(5)]
        orders = [start_of(session).pk for session in sessions]
        calls = [partial(dispatcher.deliver, pk) for pk in orders]
        results = at_once([*calls, *calls[:2], dispatcher.sweep, partial(begin, workspace, idle)])
        assert not [result for result in results if isinstance(result, Exception)], results
        for _ in range(4):
            Bridge.objects.update(orders_wait_until=None)
            BridgeOrder.objects.filter(state=State.PENDING).update(due_at=timezone.now())
            dispatcher.sweep()
            run_due_tasks()
        assert {session.session_id for session in sessions} < node.running
        assert not node.doubled
        assert not Account.objects.exclude(status=Status.QR_SCANNING).exists()
