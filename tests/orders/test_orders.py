"""Orders to a bridge: written down first, delivered by a task, tried again where they were surely not carried out."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from accounts.bridges import client
from accounts.delivery import dispatcher
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, BridgeSecret, LinkSession
from accounts.orders import outbox
from accounts.pairing import attempts
from tests.support import misbehaving
from tests.support.links import QR, link
from tests.support.misbehaving import Conversation, MisbehavingBridge, Seen, status, well
from tests.support.orders import bridge, start_of, stop_of, wait
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge"]

Kind, State = BridgeOrder.Kind, BridgeOrder.State


class TestCommands:
    """Exactly the requests of contract 2."""

    def test_start(self, node: MisbehavingBridge, account: Account, session: LinkSession) -> None:
        run_due_tasks()
        ids = {"workspace_id": account.workspace_id, "account_id": account.pk}
        body = {"session_id": session.session_id, **ids, "api_key": "alpha-key"}
        assert node.seen == [Seen("POST", "/api/sessions", {}, body)]
        assert start_of(session).state == State.CONFIRMED

    def test_reconnect(self, node: MisbehavingBridge, account: Account, session: LinkSession) -> None:
        run_due_tasks()
        outbox.order(session, Kind.RECONNECT)
        run_due_tasks()
        body = {"workspace_id": account.workspace_id, "account_id": account.pk, "api_key": "alpha-key"}
        assert node.seen[-1] == Seen("POST", f"/api/sessions/{session.session_id}/reconnect", {}, body)

    @pytest.mark.parametrize(("unlinks", "more"), [(True, {"logout": True}), (False, {})])
    def test_stop_has_its_key_in_the_body_too(
        self, node: MisbehavingBridge, session: LinkSession, unlinks: bool, more: dict[str, bool]
    ) -> None:
        run_due_tasks()
        LinkSession.objects.update(ended_at=timezone.now())
        outbox.order(session, Kind.STOP, logout=unlinks)
        run_due_tasks()
        body = {"api_key": "alpha-key", **more}
        assert node.seen[-1] == Seen("DELETE", f"/api/sessions/{session.session_id}", {}, body)

    def test_the_list_has_its_key_in_the_query(self, node: MisbehavingBridge, bridge: Bridge) -> None:
        node.running = {"a", "b"}
        assert set(client.running_sessions(bridge)) == {"a", "b"}
        assert node.seen == [Seen("GET", "/api/sessions", {"api_key": "alpha-key"}, None)]

    def test_a_bridge_without_keys_is_asked_without(self, node: MisbehavingBridge, session: LinkSession) -> None:
        BridgeSecret.objects.filter(kind="api_key").delete()
        run_due_tasks()
        assert "api_key" not in node.seen[0].body

    def test_the_older_key_is_tried_when_the_newer_is_not_known_yet(
        self, node: MisbehavingBridge, bridge: Bridge, session: LinkSession
    ) -> None:
        BridgeSecret.objects.create(bridge=bridge, kind="api_key", value="newer")
        node.plays(misbehaving.knows_only("alpha-key"))
        run_due_tasks()
        assert [seen.body["api_key"] for seen in node.seen] == ["newer", "alpha-key"]
        assert start_of(session).state == State.CONFIRMED

    def test_a_retired_key_is_not_sent(self, node: MisbehavingBridge, bridge: Bridge, session: LinkSession) -> None:
        bridge.credentials.get(kind="api_key").retire()
        BridgeSecret.objects.create(bridge=bridge, kind="api_key", value="newer")
        run_due_tasks()
        assert [seen.body["api_key"] for seen in node.seen] == ["newer"]


@pytest.mark.django_db(transaction=True)
class TestCommittedFirst:
    def test_the_bridge_can_answer_by_webhook_before_its_post_returns(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        """The webhook comes in on another connection: it sees only what was committed."""
        answers = []

        def webhook_first(talk: Conversation, seen: Seen) -> None:
            answers.append(portal.post("qr_code_generated", seen.body["session_id"], **QR).json()["outcome"])
            well(talk, seen)

        node.plays(webhook_first)
        run_due_tasks()
        assert answers == ["applied"]
        assert start_of(session).state == State.CONFIRMED
        assert len(node.seen) == 1

    def test_a_time_out_does_not_undo_a_qr_code_that_came_meanwhile(
        self, node: MisbehavingBridge, portal: Portal, session: LinkSession
    ) -> None:
        def qr_and_no_answer(talk: Conversation, seen: Seen) -> None:
            portal.post("qr_code_generated", session, **QR)
            misbehaving.drops_the_line(talk, seen)

        node.plays(qr_and_no_answer)
        run_due_tasks()
        assert start_of(session).state == State.CONFIRMED

    def test_two_orders_of_one_session_are_never_on_the_wire_together(
        self, node: MisbehavingBridge, account: Account, session: LinkSession
    ) -> None:
        during: list[list[tuple[str, str]]] = []

        def reset_meanwhile(talk: Conversation, seen: Seen) -> None:
            attempts.force_reset(account.pk)
            dispatcher.deliver(stop_of(session).pk)
            during.append(node.commands)
            well(talk, seen)

        node.plays(reset_meanwhile, well)
        run_due_tasks()
        assert during == [[("POST", "/api/sessions")]]
        wait(stop_of(session), 2)
        assert node.commands[1:] == [("DELETE", f"/api/sessions/{session.session_id}")]
        assert stop_of(session).state == State.CONFIRMED


class TestRefused:
    """Surely not carried out: tried again."""

    def test_a_bridge_that_is_down_gets_it_when_it_is_back(
        self, node: MisbehavingBridge, bridge: Bridge, session: LinkSession
    ) -> None:
        Bridge.objects.update(url="http://127.0.0.1:1")
        run_due_tasks()
        order = start_of(session)
        assert (order.state, order.attempts, order.posted_at) == (State.PENDING, 1, None)
        assert 0 < (order.due_at - timezone.now()).total_seconds() <= 1
        Bridge.objects.update(url=node.url)
        wait(order, 2)
        assert order.state == State.CONFIRMED
        assert node.commands == [("POST", "/api/sessions")]

    def test_the_pauses_grow_and_stop_growing(self, session: LinkSession) -> None:
        Bridge.objects.update(url="http://127.0.0.1:1")
        order = start_of(session)
        pauses = []
        for _ in range(7):
            with time_machine.travel(timezone.now(), tick=False):
                BridgeOrder.objects.update(due_at=timezone.now())
                Bridge.objects.update(orders_wait_until=None)
                dispatcher.deliver(order.pk)
                order.refresh_from_db()
                pauses.append(round((order.due_at - timezone.now()).total_seconds()))
        assert pauses == [1, 2, 4, 8, 15, 15, 15]

    @pytest.mark.parametrize("act", [status(code) for code in (408, 425, 429, 500, 503)] + [misbehaving.redirects])
    def test_an_answer_that_it_did_not_work_is_tried_again(
        self, node: MisbehavingBridge, session: LinkSession, act: misbehaving.Act
    ) -> None:
        node.plays(act, well)
        run_due_tasks()
        order = start_of(session)
        assert order.state == State.PENDING
        assert len(node.seen) == 1  # a redirect is not followed: it would carry the key elsewhere
        wait(order, 2)
        assert order.state == State.CONFIRMED
        assert node.commands == [("POST", "/api/sessions")] * 2

    def test_before_its_time_it_does_not_go_out(self, node: MisbehavingBridge, session: LinkSession) -> None:
        node.plays(status(500), well)
        run_due_tasks()
        dispatcher.deliver(start_of(session).pk)
        assert len(node.seen) == 1

    def test_a_stop_is_tried_for_a_day_more_and_more_seldom(
        self, node: MisbehavingBridge, session: LinkSession
    ) -> None:
        """A line that is down for a minute must not leave a device on the phone of somebody who was reset."""
        run_due_tasks()
        node.plays(status(500))
        LinkSession.objects.update(ended_at=timezone.now())
        order = outbox.order(session, Kind.STOP)
        for _ in range(12):
            wait(order, 600)
        assert (order.state, order.attempts) == (State.PENDING, 12)
        BridgeOrder.objects.filter(pk=order.pk).update(created_at=timezone.now() - timedelta(hours=25))
        wait(order, 600)
        assert order.state == State.FAILED


class TestRefusedForGood:
    @pytest.mark.parametrize("code", [400, 401, 403, 404, 405])
    def test_a_pairing_fails_at_once(
        self, node: MisbehavingBridge, account: Account, session: LinkSession, code: int
    ) -> None:
        node.plays(status(code))
        run_due_tasks()
        account.refresh_from_db()
        session.refresh_from_db()
        assert account.status == Status.FAILED
        assert session.end_reason == EndReason.BRIDGE_UNAVAILABLE
        assert str(code) in session.end_detail
        assert start_of(session).state == State.FAILED

    def test_a_session_that_talks_already_goes_on(
        self, node: MisbehavingBridge, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """A second POST that a Node bridge refuses says nothing about the first."""
        portal.post("qr_code_generated", session, **QR)
        node.plays(status(400))
        run_due_tasks()
        account.refresh_from_db()
        assert account.status == Status.QR_SCANNING


def test_the_whole_way_over_a_real_bridge_api(
    node: MisbehavingBridge, portal: Portal, account: Account, session: LinkSession
) -> None:
    run_due_tasks()
    link(portal, session)
    account.refresh_from_db()
    assert account.status == Status.CONNECTED
    assert node.commands == [("POST", "/api/sessions")]
