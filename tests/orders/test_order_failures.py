"""A bridge that misbehaves costs its time-out and no more: it is named, gets no second client, delays nobody else."""

import queue
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.bridges import circuit_breaker, client
from accounts.delivery import dispatcher
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, Lease, LinkSession, Workspace
from accounts.orders import closing, turns
from accounts.pairing import attempts
from tests.support import misbehaving
from tests.support.links import QR
from tests.support.misbehaving import MisbehavingBridge, carries_it_out, faithful, misbehaving_bridge, status
from tests.support.orders import bridge, start_of, stop_of, wait
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.races import at_once

__all__ = ["bridge"]

State = BridgeOrder.State

# How it answers a start -> what stands in the history. Each of the first may well have started it.
UNCLEAR = {
    misbehaving.hangs: "start: no answer (ReadTimeout)",
    misbehaving.drops_the_line: "start: no answer (ReadError)",
    misbehaving.says_html: "start: its answer is not JSON",
    misbehaving.drips: "start: no answer (ReadTimeout)",
    misbehaving.drips_its_headers: "start: no answer (ReadTimeout)",
    misbehaving.never_ends: "start: its answer is too long",
}
REFUSED = {
    status(500): "start: it answered 500: told to answer 500",
    misbehaving.redirects: "start: it answered 307",
}


def history(account: Account) -> list[tuple[str, str]]:
    told = account.transitions.filter(trigger__startswith="order_", old=Status.QR_SCANNING, new=Status.QR_SCANNING)
    return list(told.order_by("pk").values_list("trigger", "reason"))


class TestEach:
    @pytest.mark.usefixtures("impatient")
    @pytest.mark.parametrize(("act", "named"), UNCLEAR.items(), ids=lambda value: getattr(value, "__name__", ""))
    def test_an_unclear_answer(
        self, node: MisbehavingBridge, account: Account, session: LinkSession, act: misbehaving.Act, named: str
    ) -> None:
        node.plays(carries_it_out(act))
        node.lists = status(500)  # no evidence either way
        began = time.monotonic()
        dispatcher.deliver(start_of(session).pk)
        assert time.monotonic() - began < 10, "it hung up"
        for _ in range(4):
            wait(start_of(session), 30)
        assert history(account) == [("order_unclear", named)]
        assert node.clients == {session.session_id: 1}

    @pytest.mark.parametrize(("act", "named"), REFUSED.items(), ids=lambda value: getattr(value, "__name__", ""))
    def test_a_refusal_is_named_once_and_tried_again(
        self, node: MisbehavingBridge, account: Account, session: LinkSession, act: misbehaving.Act, named: str
    ) -> None:
        node.plays(act, act, act, faithful)
        dispatcher.deliver(start_of(session).pk)
        for _ in range(4):
            wait(start_of(session), 30)
        assert history(account) == [("order_failed", named)]
        assert node.clients == {session.session_id: 1}
        assert start_of(session).state == State.CONFIRMED

    @pytest.mark.parametrize("host", ["169.254.169.254", "metadata.invalid"])
    def test_an_address_that_no_bridge_has(
        self, account: Account, session: LinkSession, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def resolve(*_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        Bridge.objects.update(url=f"http://{host}")
        run_due_tasks()
        account.refresh_from_db()
        session.refresh_from_db()
        assert history(account) == [("order_failed", "start: its address 169.254.169.254 is not allowed")]
        assert Bridge.objects.get().last_error == "its address 169.254.169.254 is not allowed"
        assert (account.status, session.end_reason) == (Status.FAILED, EndReason.BRIDGE_UNAVAILABLE)

    def test_what_a_bridge_says_of_a_phone_is_not_repeated(
        self, node: MisbehavingBridge, account: Account, session: LinkSession
    ) -> None:
        node.plays(lambda talk, seen: talk.answer(500, {"error": "6281167328422 api_key=hunter22222 " + "x" * 400}))
        run_due_tasks()
        ((_, reason),) = history(account)
        assert "[number]" in reason
        assert "6281167328422" not in reason
        assert "hunter2" not in reason
        assert len(reason) < 160


class TestPutAside:
    """A bridge that fails gets no order for a while, and nothing is counted as a try."""

    def fail(self, bridge: Bridge, *, since: float = 0) -> float:
        """It fails once more; the seconds it is left alone."""
        if since:
            Bridge.objects.update(failing_since=timezone.now() - timedelta(seconds=since))
        bridge.refresh_from_db()
        with time_machine.travel(timezone.now(), tick=False):
            circuit_breaker.failed(bridge, "it answered 500")
            bridge.refresh_from_db()
            assert bridge.orders_wait_until is not None
            return round((bridge.orders_wait_until - timezone.now()).total_seconds())

    def test_longer_the_longer_it_fails(self, bridge: Bridge) -> None:
        assert [self.fail(bridge), *(self.fail(bridge, since=age) for age in (1, 2, 4, 8, 60))] == [1, 1, 2, 4, 8, 15]

    def test_its_next_order_waits(
        self, node: MisbehavingBridge, bridge: Bridge, workspace: Workspace, session: LinkSession
    ) -> None:
        node.plays(status(500), faithful)
        dispatcher.deliver(start_of(session).pk)
        other = attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        dispatcher.deliver(start_of(other).pk)
        waiting = start_of(other)
        assert (waiting.state, waiting.attempts, len(node.seen)) == (State.PENDING, 0, 1)
        bridge.refresh_from_db()
        assert bridge.orders_wait_until is not None
        assert bridge.orders_wait_until <= waiting.due_at <= bridge.orders_wait_until + timedelta(seconds=1)

    def test_a_good_answer_ends_it(self, node: MisbehavingBridge, bridge: Bridge, session: LinkSession) -> None:
        node.plays(status(500), faithful)
        dispatcher.deliver(start_of(session).pk)
        wait(start_of(session), 2)
        bridge.refresh_from_db()
        assert (bridge.failing_since, bridge.orders_wait_until, bridge.last_error) == (None, None, "")

    def test_an_order_that_is_at_fault_itself_puts_nothing_aside(
        self, node: MisbehavingBridge, bridge: Bridge, session: LinkSession
    ) -> None:
        node.plays(status(400))
        dispatcher.deliver(start_of(session).pk)
        bridge.refresh_from_db()
        assert (bridge.failing_since, bridge.orders_wait_until) == (None, None)


class TestOneStartAtATime:
    @pytest.fixture
    def second(self, workspace: Workspace, bridge: Bridge, session: LinkSession) -> LinkSession:
        return attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")

    def test_a_second_one_waits_and_a_stop_does_not(
        self, node: MisbehavingBridge, bridge: Bridge, session: LinkSession, second: LinkSession
    ) -> None:
        first = start_of(session)
        assert turns.enter(first, seconds=25)  # its POST is open
        dispatcher.deliver(start_of(second).pk)
        waiting = start_of(second)
        assert (waiting.state, waiting.attempts, node.seen) == (State.PENDING, 0, [])
        assert 0 < (waiting.due_at - timezone.now()).total_seconds() < 3
        attempts.force_reset(second.account_id)
        dispatcher.deliver(stop_of(second).pk)
        assert [seen.method for seen in node.seen] == ["DELETE"]

    def test_whoever_waits_is_called_as_soon_as_the_line_is_free(
        self, node: MisbehavingBridge, session: LinkSession, second: LinkSession
    ) -> None:
        first = start_of(session)
        assert turns.enter(first, seconds=25)
        dispatcher.deliver(start_of(second).pk)  # is told to come again in a second or two
        node.plays(faithful)

        turns.leave(first)
        run_due_tasks()

        assert node.clients == {session.session_id: 1, second.session_id: 1}

    def test_it_goes_when_the_first_is_done(
        self, node: MisbehavingBridge, session: LinkSession, second: LinkSession
    ) -> None:
        node.plays(faithful)
        dispatcher.deliver(start_of(session).pk)
        dispatcher.deliver(start_of(second).pk)
        assert node.clients == {session.session_id: 1, second.session_id: 1}

    def test_after_an_unclear_answer_it_waits_until_the_first_cannot_be_at_it(
        self, node: MisbehavingBridge, session: LinkSession, second: LinkSession, bridge: Bridge
    ) -> None:
        node.plays(misbehaving.drops_the_line, faithful)
        dispatcher.deliver(start_of(session).pk)
        wait(start_of(second), 20)
        assert start_of(second).state == State.PENDING
        lease = Lease.objects.get(name=f"bridge:{bridge.pk}:starts")
        assert 60 < (lease.until - timezone.now()).total_seconds() <= turns.CREATING
        Lease.objects.update(until=timezone.now())
        wait(start_of(second), 20)
        assert start_of(second).state == State.CONFIRMED

    def test_a_first_sign_of_life_ends_that_wait(
        self,
        node: MisbehavingBridge,
        portal: Portal,
        session: LinkSession,
        second: LinkSession,
        django_capture_on_commit_callbacks: Callable[..., Any],
    ) -> None:
        node.plays(misbehaving.drops_the_line, faithful)
        dispatcher.deliver(start_of(session).pk)
        with django_capture_on_commit_callbacks(execute=True):
            portal.post("qr_code_generated", session, **QR)
        wait(start_of(second), 20)
        assert start_of(second).state == State.CONFIRMED

    def test_a_scan_in_the_list_ends_it_too(
        self, node: MisbehavingBridge, session: LinkSession, second: LinkSession
    ) -> None:
        node.plays(carries_it_out(misbehaving.drops_the_line), faithful)
        dispatcher.deliver(start_of(session).pk)
        wait(start_of(session), closing.LOOK_AGAIN)
        wait(start_of(second), 20)
        assert start_of(second).state == State.PENDING  # that it is listed proves nothing yet
        node.says[session.session_id] = "authenticated"
        wait(start_of(session), closing.LOOK_AGAIN)
        wait(start_of(second), 20)
        assert start_of(second).state == State.CONFIRMED


@pytest.mark.django_db(transaction=True)
def test_other_bridges_are_served_while_one_hangs(
    node: MisbehavingBridge, bridge: Bridge, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, and four starts for the bridge that hangs before the one for the bridge that does not."""
    monkeypatch.setattr(client, "COMMAND_WITHIN", 4.0)
    node.plays(misbehaving.hangs)

    def pair() -> LinkSession:
        return attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")

    with misbehaving_bridge() as well_behaved:
        hanging = [pair() for _ in range(4)]
        Bridge.objects.filter(pk=bridge.pk).update(draining=True)
        good = make_bridge("beta", url=well_behaved.url)
        served = pair()
        assert served.bridge_id == good.pk
        line: queue.SimpleQueue[int] = queue.SimpleQueue()
        for each in [*hanging, served]:
            line.put(start_of(each).pk)
        took: dict[int, float] = {}
        began = time.monotonic()

        def work() -> None:
            while not line.empty():
                order_id = line.get()
                dispatcher.deliver(order_id)
                took[order_id] = time.monotonic() - began

        assert at_once([work, work]) == [None, None]
    assert well_behaved.commands == [("POST", "/api/sessions")]
    assert node.commands == [("POST", "/api/sessions")], "one start at a time waits on a bridge"
    hung = max(took[start_of(each).pk] for each in hanging)
    assert took[start_of(served).pk] < hung, "it did not wait for the one that hangs"
