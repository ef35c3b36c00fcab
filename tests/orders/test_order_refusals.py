"""A bridge that says no: whose fault it is, what may have been done all the same, and who waits for it."""

import queue
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.bridges import choosing, client
from accounts.delivery import dispatcher, retries
from accounts.jobs import leases
from accounts.lifecycle import EndReason
from accounts.models import Account, Bridge, BridgeOrder, Lease, LinkSession, Workspace
from accounts.orders import outbox, turns
from accounts.pairing import attempts
from tests.support import misbehaving
from tests.support.links import link
from tests.support.misbehaving import MisbehavingBridge, carries_it_out, faithful, misbehaving_bridge, status
from tests.support.orders import bridge, node, start_of, stop_of, wait
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.races import at_once

__all__ = ["bridge", "node"]

Kind, State = BridgeOrder.Kind, BridgeOrder.State

REFUSALS = [status(code) for code in (408, 425, 429, 500, 502, 503, 504)] + [misbehaving.redirects]

pytestmark = pytest.mark.django_db


class TestDoneAllTheSame:
    @pytest.mark.parametrize("act", REFUSALS, ids=lambda act: act.__name__)
    def test_a_start_that_was_refused_and_carried_out_has_one_client(
        self, node: MisbehavingBridge, session: LinkSession, act: misbehaving.Act
    ) -> None:
        node.plays(carries_it_out(act), faithful)
        node.says[session.session_id] = "authenticated"
        for _ in range(3):
            wait(start_of(session), 30)
        assert start_of(session).state == State.CONFIRMED
        assert node.clients == {session.session_id: 1}

    @pytest.mark.parametrize("code", [502, 504])
    def test_the_bridge_behind_a_proxy_that_gave_up_may_be_at_it_still(
        self, node: MisbehavingBridge, session: LinkSession, code: int
    ) -> None:
        node.plays(status(code), faithful)
        for _ in range(3):
            wait(start_of(session), 30)
        assert (start_of(session).state, len(node.commands)) == (State.UNCLEAR, 1)

    def test_a_reconnect_that_was_refused_is_looked_for_too(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        run_due_tasks()
        link(portal, session)
        node.plays(status(500), faithful)
        order = outbox.order(session, Kind.RECONNECT)
        wait(order, 0)
        node.says[session.session_id] = "connected"
        wait(order, 5)
        assert order.state == State.CONFIRMED
        assert len(node.commands) == 2

    def test_an_unclear_reconnect_is_not_confirmed_by_a_list_that_has_not_changed(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        run_due_tasks()
        link(portal, session)
        node.says[session.session_id] = "disconnected"
        node.plays(misbehaving.drops_the_line)
        order = outbox.order(session, Kind.RECONNECT)
        wait(order, 0)
        wait(order, 5)
        assert order.state == State.UNCLEAR
        assert Lease.objects.get(name=turns.name_of(order)).holder  # the next start waits
        node.says[session.session_id] = "authenticated"
        wait(order, 20)
        assert order.state == State.CONFIRMED

    def test_and_is_once_the_bridge_must_be_done_with_it(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        run_due_tasks()
        link(portal, session)
        node.plays(misbehaving.drops_the_line)
        order = outbox.order(session, Kind.RECONNECT)
        wait(order, 0)
        ago = timezone.now() - timedelta(seconds=turns.CREATING)
        BridgeOrder.objects.filter(pk=order.pk).update(posted_at=ago)
        wait(order, 30)
        assert order.state == State.CONFIRMED


class TestWhoseFault:
    @pytest.mark.parametrize("code", [401, 403, 404, 405])
    def test_one_that_takes_no_start_of_ours_comes_last(
        self, node: MisbehavingBridge, bridge: Bridge, workspace: Workspace, session: LinkSession, code: int
    ) -> None:
        other = make_bridge("beta", url=node.url)
        node.plays(status(code))
        run_due_tasks()
        session.refresh_from_db()
        bridge.refresh_from_db()
        assert session.end_reason == EndReason.BRIDGE_UNAVAILABLE
        assert bridge.failing_since is not None
        assert f"answered {code}" in bridge.last_error
        assert ("refuses our API key" in bridge.last_error) == (code in {401, 403})
        Bridge.objects.update(last_heard_at=timezone.now())
        assert choosing.choose(workspace) == other

    def test_a_session_that_it_does_not_know_is_not(
        self, node: MisbehavingBridge, bridge: Bridge, session: LinkSession
    ) -> None:
        run_due_tasks()
        node.plays(status(404))
        attempts.force_reset(session.account_id)
        run_due_tasks()
        bridge.refresh_from_db()
        assert bridge.failing_since is None

    @pytest.mark.parametrize("code", [408, 425, 429])
    def test_one_that_is_busy_is_told_again(self, node: MisbehavingBridge, session: LinkSession, code: int) -> None:
        run_due_tasks()
        node.plays(status(code), faithful)
        attempts.force_reset(session.account_id)
        run_due_tasks()
        assert (stop_of(session).state, node.running) == (State.PENDING, {session.session_id})
        assert Bridge.objects.get().failing_since is not None
        wait(stop_of(session), 5)
        assert (stop_of(session).state, node.running) == (State.CONFIRMED, set())


class TestNeverForEver:
    @pytest.mark.parametrize("half", [b"\\ud800", b"\xed\xa0\x80"], ids=["escaped", "raw"])
    def test_half_a_character_is_a_replacement_character(
        self, node: MisbehavingBridge, account: Account, session: LinkSession, half: bytes
    ) -> None:
        node.plays(lambda talk, seen: talk.answer(400, b'{"error":"a ' + half + b' b"}'))
        run_due_tasks()
        session.refresh_from_db()
        assert (start_of(session).state, session.end_reason) == (State.FAILED, EndReason.BRIDGE_UNAVAILABLE)
        assert start_of(session).error.startswith("it answered 400: a \ufffd")

    def test_a_check_that_fails_on_our_side_is_given_up(
        self, session: LinkSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fails(order: BridgeOrder) -> None:
            raise ValueError("about 6281234567890")

        monkeypatch.setitem(dispatcher._CARRY_OUT, Kind.CHECK, fails)
        order = outbox.order(session, Kind.CHECK, why=BridgeOrder.Why.RECOVERY)
        for _ in range(retries.CHECK_TRIES):
            wait(order, 30)
        assert (order.state, order.attempts) == (State.FAILED, retries.CHECK_TRIES)
        assert "ValueError" in caplog.text
        assert "6281234567890" not in caplog.text
        assert not Lease.objects.exclude(holder="").exists()
        assert Bridge.objects.get().failing_since is None

    def test_a_start_that_fails_on_our_side_after_its_post_is_not_repeated(
        self, node: MisbehavingBridge, session: LinkSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(order: BridgeOrder) -> None:
            client.start(order.bridge, order.session)
            raise ValueError

        monkeypatch.setitem(dispatcher._CARRY_OUT, Kind.START, fails)
        run_due_tasks()
        assert start_of(session).state == State.UNCLEAR
        node.says[session.session_id] = "authenticated"
        wait(start_of(session), 5)
        assert start_of(session).state == State.CONFIRMED
        assert node.clients == {session.session_id: 1}


def test_the_place_of_those_that_fail_is_free_while_the_line_of_one_waits(
    node: MisbehavingBridge, session: LinkSession
) -> None:
    """No worker waits for that start any more, only the next start there."""
    Bridge.objects.update(failing_since=timezone.now() - timedelta(seconds=20))
    node.plays(misbehaving.drops_the_line)
    dispatcher.deliver(start_of(session).pk)
    assert Lease.objects.get(name=turns.name_of(start_of(session))).holder
    assert Lease.objects.get(name=turns.FAILING).holder == ""


def test_one_that_stumbled_just_now_does_not_wait_for_that_place(node: MisbehavingBridge, session: LinkSession) -> None:
    """Others that hang have it most of the time."""
    assert leases.take(turns.FAILING, seconds=60, holder="one that hangs")
    Bridge.objects.update(failing_since=timezone.now() - timedelta(seconds=20))
    wait(start_of(session), 0)
    assert start_of(session).state == State.PENDING
    Bridge.objects.update(failing_since=timezone.now() - timedelta(seconds=2))
    wait(start_of(session), 20)
    assert start_of(session).state == State.CONFIRMED


@pytest.mark.django_db(transaction=True)
def test_bridges_that_are_known_to_fail_hold_one_worker_between_them(
    node: MisbehavingBridge, bridge: Bridge, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them hang, with a start and a stop each, before the start of the one that does not: two workers."""
    monkeypatch.setattr(client, "COMMAND_WITHIN", 4.0)

    def pair() -> LinkSession:
        return attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")

    line: queue.SimpleQueue[int] = queue.SimpleQueue()
    hanging: list[int] = []
    with misbehaving_bridge() as other, misbehaving_bridge() as good:
        node.plays(misbehaving.hangs)
        other.plays(misbehaving.hangs)
        good.plays(faithful)
        for bad in (bridge, make_bridge("beta", url=other.url)):
            Bridge.objects.exclude(pk=bad.pk).update(draining=True)
            Bridge.objects.filter(pk=bad.pk).update(draining=False)
            started, stopped = pair(), pair()
            attempts.force_reset(stopped.account_id)
            hanging += [start_of(started).pk, stop_of(stopped).pk]
        Bridge.objects.update(draining=True, failing_since=timezone.now() - timedelta(seconds=20))
        make_bridge("good", url=good.url)
        served = start_of(pair()).pk
        for pk in [*hanging, served]:
            line.put(pk)
        took: dict[int, float] = {}
        began = time.monotonic()

        def work() -> None:
            while not line.empty():
                pk = line.get()
                dispatcher.deliver(pk)
                took[pk] = time.monotonic() - began

        assert at_once([work, work]) == [None, None]
    assert len(node.commands) + len(other.commands) == 1
    assert took[served] < max(took[pk] for pk in hanging), "it did not wait for those that hang"
