"""An order that was carried out is told as no failure, whatever goes wrong while that is noted."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts.bridges.client import BridgeError
from accounts.delivery import dispatcher, retries
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.orders import closing, outbox
from tests.support.links import QR
from tests.support.misbehaving import Act, Conversation, MisbehavingBridge, Seen, faithful, status
from tests.support.orders import ask_for_evidence, bridge, linked, node, start_of, wait
from tests.support.portal import Portal

__all__ = ["bridge", "linked", "node"]

pytestmark = pytest.mark.django_db
State = BridgeOrder.State


def told(account: Account) -> list[str]:
    return list(account.transitions.filter(trigger__startswith="order_").values_list("reason", flat=True))


def while_somebody_holds_the_order(seconds: float) -> Act:
    """It answers well, but from then on somebody else has a lock on the order's row."""

    def act(talk: Conversation, seen: Seen) -> None:
        is_held = threading.Event()

        def hold() -> None:
            try:
                with transaction.atomic():
                    list(BridgeOrder.objects.select_for_update())
                    is_held.set()
                    time.sleep(seconds)
            finally:
                connection.close()

        threading.Thread(target=hold, daemon=True).start()
        is_held.wait(10)
        faithful(talk, seen)

    return act


@pytest.mark.race
@pytest.mark.timeout(120)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seconds", [4, 10])
def test_a_lock_on_its_row_is_waited_for(
    node: MisbehavingBridge, account: Account, session: LinkSession, seconds: int
) -> None:
    node.plays(while_somebody_holds_the_order(seconds))
    dispatcher.deliver(start_of(session).pk)
    order = start_of(session)
    if order.state == State.UNCLEAR:  # then it could not be noted, and the list proves it
        node.says[session.session_id] = "authenticated"
        ask_for_evidence(order)
    assert order.state == State.CONFIRMED
    assert told(account) == []
    assert node.clients == {session.session_id: 1}


@pytest.mark.parametrize("code", [1213, 1205])
def test_a_deadlock_that_nobody_survives_leaves_it_to_the_list(
    node: MisbehavingBridge, account: Account, session: LinkSession, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def dies(order: BridgeOrder) -> None:
        raise OperationalError(code, "the database gave up")

    monkeypatch.setattr(closing, "confirm", dies)
    node.plays(faithful)
    dispatcher.deliver(start_of(session).pk)
    monkeypatch.undo()
    order = start_of(session)
    assert (order.state, order.error) == (State.UNCLEAR, "")
    assert told(account) == []
    node.says[session.session_id] = "authenticated"
    ask_for_evidence(order)
    assert order.state == State.CONFIRMED
    assert told(account) == []


class GivesUp:
    """A database that kills each write to orders as a deadlock, from the bridge's next good answer on."""

    def __init__(self, node: MisbehavingBridge, *, times: int) -> None:
        self.left = 0
        self.times = times
        node.plays(self.answer)

    def answer(self, talk: Conversation, seen: Seen) -> None:
        if seen.method != "GET":
            self.left = self.times
        if seen.path.endswith(("/send", "/pairing-code")):
            talk.answer(200, {"success": True, "message_id": "true_1", "pairing_code": "ABCD1234", "expires_in": 60})
        else:
            faithful(talk, seen)

    def __call__(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if self.left and sql.startswith("UPDATE") and "accounts_bridgeorder" in sql:
            self.left -= 1
            raise OperationalError(1213, "Deadlock found")
        return execute(sql, *rest)


@pytest.mark.django_db(transaction=True)
class TestNothingCanBeNotedOf:
    """The bridge has answered well, and the database takes it after some tries or not at all."""

    @pytest.fixture
    def order(self, linked: LinkSession, kind: str) -> BridgeOrder:
        return outbox.order(linked, BridgeOrder.Kind(kind), phone_number="6281234567890")

    @pytest.mark.parametrize("kind", ["test_message", "stop", "reconnect"])
    @pytest.mark.parametrize("times", [1, 2, 3])
    def test_what_a_retry_survives(
        self, order: BridgeOrder, linked: LinkSession, node: MisbehavingBridge, kind: str, times: int
    ) -> None:
        if kind == "stop":
            LinkSession.objects.update(ended_at=timezone.now())
        with connection.execute_wrapper(GivesUp(node, times=times)):
            dispatcher.deliver(order.pk)
        order.refresh_from_db()
        assert (order.state, order.error) == (State.CONFIRMED, "")
        assert bool(order.message_id) == (kind == "test_message")
        assert told(linked.account) == []

    @pytest.mark.parametrize("kind", ["test_message", "pairing_code", "reconnect"])
    @pytest.mark.parametrize("times", [4, 1_000])
    def test_what_is_given_up_is_told_as_no_failure(
        self, order: BridgeOrder, linked: LinkSession, node: MisbehavingBridge, kind: str, times: int
    ) -> None:
        """With so many, it cannot be left in doubt either."""
        with connection.execute_wrapper(GivesUp(node, times=times)):
            dispatcher.deliver(order.pk)
        order.refresh_from_db()
        assert order.state in {State.CLAIMED, State.UNCLEAR, State.CONFIRMED}
        assert order.error == ""
        assert told(linked.account) == []

    @pytest.mark.parametrize("kind", ["reconnect"])
    def test_that_its_claim_ran_out_is_told_truly(
        self, order: BridgeOrder, linked: LinkSession, node: MisbehavingBridge
    ) -> None:
        with connection.execute_wrapper(GivesUp(node, times=1_000)):
            dispatcher.deliver(order.pk)
        wait(order, dispatcher.LEASE + 1)
        assert told(linked.account) == ["reconnect: it was broken off before an answer was noted"]
        node.says[linked.session_id] = "connected"
        ask_for_evidence(order)
        order.refresh_from_db()
        assert order.state == State.CONFIRMED


def an_event_confirms_it(portal: Portal, session: LinkSession) -> None:
    order = start_of(session)
    BridgeOrder.objects.filter(pk=order.pk).move([State.PENDING], State.CLAIMED)
    portal.post("qr_code_generated", session, **QR)


@pytest.mark.parametrize(
    "error",
    [
        BridgeError("an error of ours (OperationalError)", unclear=True),
        BridgeError("it timed out", unclear=True),
        BridgeError("told to answer 500", code=500),
        BridgeError("told to answer 400", code=400, permanent=True),
        BridgeError("it cannot be reached"),
    ],
    ids=str,
)
def test_nothing_is_told_of_one_that_an_event_has_confirmed(
    account: Account, session: LinkSession, portal: Portal, error: BridgeError
) -> None:
    an_event_confirms_it(portal, session)
    claimed = start_of(session)
    assert claimed.state == State.CONFIRMED
    retries.not_done(claimed, error)
    assert start_of(session).state == State.CONFIRMED
    assert told(account) == []


def test_a_failure_is_told_as_before(account: Account, session: LinkSession, node: MisbehavingBridge) -> None:
    node.plays(status(500))
    dispatcher.deliver(start_of(session).pk)
    assert len(told(account)) == 1
