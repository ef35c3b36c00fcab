"""After a move the former owner still delivers what it had received: messages are kept, and nothing else moves."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.housekeeping import retention
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, Incident, LinkMove, LinkSession, Message
from accounts.pairing import attempts
from tests.support.chats import PRIVATE, SENT, media, receive, stored_files
from tests.support.links import QR, READY, status_of, stops_of
from tests.support.losses import pass_time
from tests.support.misbehaving import MisbehavingBridge
from tests.support.moves import beta, bridge, linked, move, other_node
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.races import assert_nothing_raised, at_once
from webhooks.authentication import forget_secrets
from webhooks.events.handlers import LIFECYCLE, LIVING, MESSAGES
from webhooks.models import UnmatchedTraffic, WebhookEvent

__all__ = ["beta", "bridge", "linked", "other_node"]

Kind, State, Why = BridgeOrder.Kind, BridgeOrder.State, BridgeOrder.Why

ACK = {"message_id": SENT["id"], "status": "sent", "ack_level": 2, "recipient": "6281234567890@c.us", "timestamp": 1}
# What each event carries. One that is added to the handlers must be added here.
SAID: dict[str, dict[str, Any]] = {
    "message_received": {"message": PRIVATE},
    "message_sent": {"message": SENT, "source": "message_create_event"},
    "message_status_updated": ACK,
    "message_delivered": ACK,
    "message_read": ACK,
    "message_edited": {"message_id": PRIVATE["id"], "body": "x", "timestamp": 1},
    "message_revoked": {"message_id": PRIVATE["id"], "timestamp": 1},
}


@pytest.fixture
def moved(portal: Portal, linked: LinkSession, beta: Bridge) -> LinkSession:
    """Staff have just pressed Move: it is beta's, and alpha has not even been told to stop it."""
    move(linked, beta)
    forget_secrets()  # as after the 10 s for which they are kept
    linked.refresh_from_db()
    assert linked.bridge == beta
    return linked


@pytest.fixture
def gamma(moved: LinkSession) -> Portal:
    """A bridge that never had anything to do with it."""
    make_bridge("gamma")
    forget_secrets()
    return Portal("gamma-hmac")


def everything_but_messages(session: LinkSession) -> list[Any]:
    """What the desk knows of the session and its account, and what it wants of bridges."""
    return [
        list(model.objects.order_by("pk").values())
        for model in (LinkSession, Account, BridgeOrder, WebhookEvent, UnmatchedTraffic, Incident)
    ] + [list(session.account.transitions.order_by("pk").values())]


def assert_only_counted(portal: Portal, session: LinkSession) -> None:
    answer = receive(portal, session, media(b"picture"))
    assert (answer.status_code, answer.json()["outcome"]) == (200, "unknown_session")
    assert Message.objects.count() == 0
    assert stored_files() == []
    assert UnmatchedTraffic.objects.get().reason == "not_owner"


class TestMessages:
    def test_one_that_was_under_way_when_staff_pressed_move(self, portal: Portal, moved: LinkSession) -> None:
        answer = receive(portal, moved, PRIVATE)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "applied")
        message = Message.objects.get()
        assert (message.session, message.body, message.delivered) == (moved, "halo", True)

    @pytest.mark.parametrize("event", MESSAGES)
    def test_each_kind_is_kept_and_moves_nothing(self, portal: Portal, moved: LinkSession, event: str) -> None:
        before = everything_but_messages(moved)
        assert portal.post(event, moved, **SAID[event]).json()["outcome"] == "applied"
        assert Message.objects.get().session == moved
        assert everything_but_messages(moved) == before

    @pytest.mark.parametrize("state", State.values)
    def test_whatever_became_of_its_stop(self, portal: Portal, moved: LinkSession, state: str) -> None:
        stops_of(moved).update(state=state, closed_at=timezone.now())
        assert receive(portal, moved, PRIVATE).json()["outcome"] == "applied"

    def test_an_outbox_that_is_delivered_hours_later_is_kept_and_no_incident(
        self, portal: Portal, moved: LinkSession, other_node: MisbehavingBridge
    ) -> None:
        run_due_tasks(within=10)
        Portal("beta-hmac").post("session_ready", moved, **READY)
        assert stops_of(moved).get().state == State.CONFIRMED
        pass_time(20 * 3600)
        for number in range(20):
            assert receive(portal, moved, PRIVATE | {"id": f"m{number}"}).json()["outcome"] == "applied"
        assert Message.objects.filter(session=moved).count() == 20
        assert Incident.objects.count() == 0
        assert status_of(moved.account) == Status.CONNECTED

    def test_of_a_bridge_that_it_was_moved_away_from_before_the_last(self, portal: Portal, moved: LinkSession) -> None:
        run_due_tasks(within=10)
        Portal("beta-hmac").post("session_ready", moved, **READY)
        moved.refresh_from_db()
        move(moved, make_bridge("delta"))
        receive(portal, moved, PRIVATE)
        receive(Portal("beta-hmac"), moved, SENT, "message_sent")
        assert Message.objects.filter(session=moved).count() == 2

    def test_after_its_order_is_deleted_it_is_a_stranger(self, portal: Portal, moved: LinkSession) -> None:
        long_ago = timezone.now() - timedelta(days=91)
        moved.orders.update(created_at=long_ago, closed_at=long_ago, state=State.CONFIRMED)
        moved.moves.update(started_at=long_ago)
        retention.run()
        assert_only_counted(portal, moved)


class TestTwins:
    def test_both_bridges_bring_the_same_message(self, portal: Portal, moved: LinkSession) -> None:
        assert receive(portal, moved, SENT, "message_sent").json()["outcome"] == "applied"
        assert receive(Portal("beta-hmac"), moved, SENT, "message_sent").json()["outcome"] == "no_change"
        assert Message.objects.count() == 1

    def test_a_late_ack_of_the_former_owner_lowers_nothing(self, portal: Portal, moved: LinkSession) -> None:
        Portal("beta-hmac").post("message_read", moved, **ACK)
        assert portal.post("message_status_updated", moved, **ACK).json()["outcome"] == "no_change"
        assert receive(portal, moved, SENT, "message_sent").json()["outcome"] == "applied"
        message = Message.objects.get()
        assert (message.ack_level, message.body) == (4, "from my phone")

    @pytest.mark.race
    @pytest.mark.django_db(transaction=True)
    def test_both_at_once_are_one_row(self, portal: Portal, moved: LinkSession) -> None:
        bridges = [portal, Portal("beta-hmac")] * 2
        answers = at_once([partial(receive, each, moved, media(b"picture")) for each in bridges])
        assert_nothing_raised(answers)
        assert {answer.status_code for answer in answers} <= {200, 429}  # `BUSY`: it is sent again
        receive(portal, moved, media(b"picture"))
        assert Message.objects.get().media.read() == b"picture"


class TestContent:
    def test_media_is_stored(self, portal: Portal, moved: LinkSession) -> None:
        receive(portal, moved, media(b"picture"))
        assert Message.objects.get().media.read() == b"picture"
        assert len(stored_files()) == 1

    def test_what_is_no_message_is_refused_and_not_acknowledged(self, portal: Portal, moved: LinkSession) -> None:
        assert receive(portal, moved, {"id": ""}).json()["error"]["code"] == "INVALID_FIELD"
        assert Message.objects.count() == 0


class TestWhatElseItSays:
    @pytest.mark.parametrize("event", LIFECYCLE)
    def test_lifecycle_events_are_only_counted(self, portal: Portal, moved: LinkSession, event: str) -> None:
        events = WebhookEvent.objects.count()
        assert portal.post(event, moved, **QR | READY).json()["outcome"] == "unknown_session"
        assert status_of(moved.account) == Status.DISCONNECTED
        assert WebhookEvent.objects.count() == events
        assert UnmatchedTraffic.objects.get().reason == "not_owner"

    def test_typing_is_dropped_as_before(self, portal: Portal, moved: LinkSession) -> None:
        assert portal.post("typing_indicator", moved).json()["outcome"] == "dropped"


class TestAfterItHasEnded:
    def test_its_messages_are_kept_and_the_new_owner_is_told_nothing(self, portal: Portal, moved: LinkSession) -> None:
        """A message is a sign that its own bridge runs on (`LIVING`), but says nothing of another one."""
        run_due_tasks(within=10)
        attempts.force_reset(moved.account_id, reason="test")
        stops_of(moved).update(state=State.CONFIRMED, closed_at=timezone.now() - timedelta(minutes=5))
        assert "message_received" in LIVING
        orders = moved.orders.count()
        assert receive(portal, moved, PRIVATE).json()["outcome"] == "applied"
        assert moved.orders.count() == orders
        receive(Portal("beta-hmac"), moved, SENT, "message_sent")
        assert moved.orders.filter(kind=Kind.STOP, bridge=moved.bridge, state=State.PENDING).count() == 1


class TestBudgets:
    def test_of_an_open_session_its_workspace_pays(self, portal: Portal, settings: Any, moved: LinkSession) -> None:
        settings.LINKDESK_LIMIT_MESSAGES = 3
        settings.LINKDESK_LIMIT_OTHERS = 1
        answers = [receive(portal, moved, PRIVATE | {"id": f"m{n}"}).status_code for n in range(5)]
        assert answers == [200, 200, 200, 429, 429]
        assert Message.objects.count() == 3

    def test_of_an_ended_session_it_pays_itself(self, portal: Portal, settings: Any, moved: LinkSession) -> None:
        settings.LINKDESK_LIMIT_OTHERS = 2
        attempts.force_reset(moved.account_id, reason="test")
        answers = [receive(portal, moved, PRIVATE | {"id": f"m{n}"}).status_code for n in range(4)]
        assert answers == [200, 200, 429, 429]
        assert receive(Portal("beta-hmac"), moved, SENT, "message_sent").status_code == 200


class TestStrangers:
    def test_another_bridge_is_only_counted_and_named(self, gamma: Portal, moved: LinkSession) -> None:
        assert_only_counted(gamma, moved)
        assert Incident.objects.get().bridge.name == "gamma"

    @pytest.mark.parametrize(("kind", "why"), [(Kind.STOP, Why.RECONCILE), (Kind.STOP, ""), (Kind.CHECK, Why.STAFF)])
    def test_one_with_another_order_was_no_owner(
        self, gamma: Portal, moved: LinkSession, kind: BridgeOrder.Kind, why: str
    ) -> None:
        moved.orders.create(bridge=Bridge.objects.get(name="gamma"), kind=kind, why=why)
        assert_only_counted(gamma, moved)

    def test_one_that_another_session_was_moved_away_from(self, gamma: Portal, moved: LinkSession) -> None:
        other = Account.objects.create(workspace=moved.account.workspace)
        mine = LinkSession.objects.create(session_id="webjs_1_1_other", account=other, bridge=moved.bridge)
        mine.moves.create(from_bridge=Bridge.objects.get(name="gamma"), to_bridge=moved.bridge)
        assert_only_counted(gamma, moved)

    def test_nobody_else_is_looked_up(self, portal: Portal, gamma: Portal, moved: LinkSession) -> None:
        """Messages are most of the traffic: its owner's, and those of nobody's, cost no query more."""
        owner, table = Portal("beta-hmac"), LinkMove._meta.db_table
        with CaptureQueriesContext(connection) as asked:
            receive(owner, moved, PRIVATE)
            receive(owner, "webjs_1_1_nobody00", PRIVATE)
        assert not [query for query in asked.captured_queries if table in query["sql"]]
        with CaptureQueriesContext(connection) as asked:
            receive(portal, moved, PRIVATE)
        assert len([query for query in asked.captured_queries if table in query["sql"]]) == 1
