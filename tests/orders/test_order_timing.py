"""Reset, renew and a late scan before, during and after an order's POST: the bridge runs what the desk believes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from accounts.bridges import client
from accounts.delivery import dispatcher
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.orders import outbox, turns
from accounts.pairing import attempts
from accounts.pairing.attempts import May
from tests.support import misbehaving
from tests.support.links import QR, move_back
from tests.support.misbehaving import (
    Act,
    Conversation,
    MisbehavingBridge,
    Seen,
    faithful,
    stops_late,
)
from tests.support.orders import bridge, node, start_of, stop_of, wait
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "node"]

Kind, State = BridgeOrder.Kind, BridgeOrder.State
Event = Callable[["Scene"], object]

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Scene:
    node: MisbehavingBridge
    portal: Portal
    account: Account
    session: LinkSession
    answer: Act = faithful  # of the bridge, to the order that is delivered

    def shown(self) -> None:
        """Started, and its QR code is there."""
        run_due_tasks()
        assert self.portal.post("qr_code_generated", self.session, **QR).json()["outcome"] == "applied"

    def settle(self) -> None:
        """Time passes until no order is left, and the bridge has done what it was slow with."""
        for passed in range(30):
            if passed == 3:  # a minute
                self.node.finish()
            if not BridgeOrder.objects.filter(state__in=BridgeOrder.UNDER_WAY).exists():
                self.node.finish()
                return
            shift = timedelta(seconds=20)
            BridgeOrder.objects.filter(state__in=BridgeOrder.UNDER_WAY).update(
                due_at=timezone.now(), posted_at=F("posted_at") - shift
            )
            Bridge.objects.update(orders_wait_until=None)
            dispatcher.sweep()
            run_due_tasks()
        raise AssertionError(list(BridgeOrder.objects.values_list("kind", "state", "error")))

    def assert_the_bridge_runs_what_the_desk_believes(self) -> None:
        believed = LinkSession.objects.filter(ended_at=None).values_list("session_id", flat=True)
        assert self.node.running == set(believed)
        assert not self.node.doubled


@pytest.fixture
def scene(node: MisbehavingBridge, portal: Portal, account: Account, session: LinkSession) -> Scene:
    return Scene(node, portal, account, session)


def reset(scene: Scene) -> None:
    attempts.force_reset(scene.account.pk)


def renew(scene: Scene) -> None:
    attempts.start(scene.account.pk, trigger="test", may=May.RENEW)


def scan(scene: Scene) -> None:
    scene.portal.post("session_authenticated", scene.session)


def being_started(scene: Scene) -> BridgeOrder:
    return start_of(scene.session)


def ended_softly(scene: Scene) -> BridgeOrder:
    scene.shown()
    move_back(scene.session, 121)
    assert attempts.expire(scene.session.pk)
    return stop_of(scene.session)


def ended_softly_and_stopped_slowly(scene: Scene) -> BridgeOrder:
    """What the stop became nobody is told, and the bridge takes its time."""
    scene.answer = stops_late
    return ended_softly(scene)


def ended_hard(scene: Scene) -> BridgeOrder:
    scene.shown()
    attempts.force_reset(scene.account.pk)
    return stop_of(scene.session)


# The order that is delivered, what happens around it, and where the account is in the end.
RULES: list[tuple[Callable[[Scene], BridgeOrder], Event, Status]] = [
    (being_started, reset, Status.INACTIVE),
    (being_started, renew, Status.QR_SCANNING),
    (being_started, scan, Status.AUTHENTICATED),
    (ended_softly, reset, Status.INACTIVE),
    (ended_softly, renew, Status.QR_SCANNING),
    (ended_softly, scan, Status.AUTHENTICATED),
    (ended_softly_and_stopped_slowly, reset, Status.INACTIVE),
    (ended_softly_and_stopped_slowly, renew, Status.QR_SCANNING),
    (ended_softly_and_stopped_slowly, scan, Status.AUTHENTICATED),
    (ended_hard, reset, Status.INACTIVE),
    (ended_hard, renew, Status.QR_SCANNING),
    (ended_hard, scan, Status.INACTIVE),
]


def during(event: Event, scene: Scene) -> Act:
    """Inside the open POST, on the connection of the bridge's own thread."""

    def act(talk: Conversation, seen: Seen) -> None:
        try:
            event(scene)
        finally:
            connection.close()
        scene.answer(talk, seen)

    return act


@pytest.mark.parametrize("moment", ["before", "during", "after"])
@pytest.mark.parametrize(("state_of", "event", "status"), RULES, ids=lambda value: getattr(value, "__name__", ""))
def test_in_every_order(
    scene: Scene, state_of: Callable[[Scene], BridgeOrder], event: Event, status: Status, moment: str
) -> None:
    order = state_of(scene)
    if moment == "before":
        event(scene)
    scene.node.plays(during(event, scene) if moment == "during" else scene.answer, faithful)
    BridgeOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    dispatcher.deliver(order.pk)
    if moment == "after":
        event(scene)
    scene.settle()
    scene.account.refresh_from_db()
    assert scene.account.status == status
    scene.assert_the_bridge_runs_what_the_desk_believes()
    if event is renew:
        assert scene.node.running == {LinkSession.objects.latest("pk").session_id}


def stop_of_the_old(scene: Scene) -> BridgeOrder:
    return stop_of(scene.session)


def start_of_the_new(scene: Scene) -> BridgeOrder:
    return start_of(LinkSession.objects.latest("pk"))


@pytest.mark.parametrize("moment", ["before", "during", "after"])
@pytest.mark.parametrize("order_of", [stop_of_the_old, start_of_the_new])
def test_the_code_that_was_replaced_is_scanned_after_all(
    scene: Scene, order_of: Callable[[Scene], BridgeOrder], moment: str
) -> None:
    scene.shown()
    renew(scene)
    order = order_of(scene)
    if moment == "before":
        scan(scene)
    scene.node.plays(during(scan, scene) if moment == "during" else faithful, faithful)
    BridgeOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    dispatcher.deliver(order.pk)
    if moment == "after":
        scan(scene)
    scene.settle()
    scene.account.refresh_from_db()
    assert scene.account.status == Status.AUTHENTICATED
    scene.assert_the_bridge_runs_what_the_desk_believes()
    assert scene.node.running == {scene.session.session_id}


class TestFinishedLate:
    """A create that the desk gave up waiting for, and that the bridge finished after its session was stopped."""

    @pytest.fixture
    def reset_meanwhile(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
        scene.node.plays(misbehaving.hangs, faithful)
        with monkeypatch.context() as patch:
            patch.setattr(client, "COMMAND_WITHIN", 0.4)
            dispatcher.deliver(start_of(scene.session).pk)
        attempts.force_reset(scene.account.pk)
        wait(stop_of(scene.session), 5)
        assert stop_of(scene.session).state == State.CONFIRMED
        assert start_of(scene.session).state == State.UNCLEAR
        scene.node.make_client(scene.session.session_id)
        return scene

    def test_it_is_seen_in_the_list_and_stopped(self, reset_meanwhile: Scene) -> None:
        reset_meanwhile.settle()
        reset_meanwhile.assert_the_bridge_runs_what_the_desk_believes()
        assert reset_meanwhile.node.running == set()

    def test_its_first_event_stops_it_at_once(self, reset_meanwhile: Scene) -> None:
        reset_meanwhile.portal.post("qr_code_generated", reset_meanwhile.session, **QR)
        run_due_tasks()
        assert reset_meanwhile.node.running == set()

    def test_where_the_list_cannot_be_read_it_is_stopped_all_the_same(self, reset_meanwhile: Scene) -> None:
        reset_meanwhile.node.lists = misbehaving.status(500)
        reset_meanwhile.settle()
        assert reset_meanwhile.node.running == set()

    def test_it_is_looked_for_as_long_as_it_may_come(self, reset_meanwhile: Scene) -> None:
        start = start_of(reset_meanwhile.session)
        reset_meanwhile.node.running.clear()
        wait(start, 5)
        assert start.state == State.UNCLEAR
        BridgeOrder.objects.update(posted_at=timezone.now() - timedelta(seconds=turns.CREATING - 1))
        reset_meanwhile.node.running.add(reset_meanwhile.session.session_id)
        wait(start, 30)
        run_due_tasks()
        assert reset_meanwhile.node.running == set()


def test_what_ended_while_its_post_was_open_is_stopped_whatever_was_stopped_before(scene: Scene) -> None:
    """A worker that froze for longer than its claim: the stop went out while the start was under way."""

    def frozen(talk: Conversation, seen: Seen) -> None:
        BridgeOrder.objects.update(due_at=timezone.now())  # the claim is over
        LinkSession.objects.update(ended_at=timezone.now(), end_reason=EndReason.RESET)
        session = LinkSession.objects.get()
        stop = outbox.order(session, Kind.STOP)
        dispatcher.deliver(stop.pk)
        connection.close()
        faithful(talk, seen)

    scene.node.plays(frozen, faithful)
    dispatcher.deliver(start_of(scene.session).pk)
    scene.settle()
    assert scene.node.running == set()


def test_a_session_that_talks_while_the_list_is_read_is_not_started_again(scene: Scene) -> None:
    order = start_of(scene.session)
    BridgeOrder.objects.update(posted_at=timezone.now())  # a worker died with it

    def speaks_first(talk: Conversation, seen: Seen) -> None:
        scene.portal.post("qr_code_generated", scene.session, **QR)
        connection.close()
        misbehaving.list_sessions(talk, seen)

    scene.node.lists = speaks_first
    dispatcher.deliver(order.pk)
    assert scene.node.commands == []
    order.refresh_from_db()
    assert order.state == State.CONFIRMED


def test_a_reset_while_the_list_is_read_wins(scene: Scene) -> None:
    """Between the claim and the POST the session ended: nothing is sent."""
    order = start_of(scene.session)
    ago = timezone.now() - timedelta(seconds=turns.CREATING)
    BridgeOrder.objects.update(posted_at=ago)  # a worker died with it

    def reset_first(talk: Conversation, seen: Seen) -> None:
        reset(scene)
        connection.close()
        misbehaving.list_sessions(talk, seen)

    scene.node.lists = reset_first
    dispatcher.deliver(order.pk)
    order.refresh_from_db()
    assert (order.state, scene.node.commands) == (State.CANCELLED, [])
