"""Requests that equal each other: which are two events, which are one, and what is asked where nobody can tell."""

import time
from typing import Any

import pytest

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from tests.support.links import READY, status_of
from tests.support.lists import row, shows
from tests.support.misbehaving import MisbehavingBridge
from tests.support.orders import node
from tests.support.portal import make_bridge
from tests.support.queue import run_due_tasks
from tests.support.refusals import body, post
from tests.support.signing import signed_headers, signed_headers_2
from webhooks.models import WebhookEvent

__all__ = ["body", "node"]

SECRET = "alpha-hmac"
NAMED: dict[str, Any] = {"event_id": "evt-0001", "boot": "boot-a", "sequence": 7}
STORY: list[tuple[str, dict[str, Any]]] = [
    ("session_authenticated", {}),
    ("session_ready", READY),
    ("session_disconnected", {"reason": "NAVIGATION"}),
    ("session_authenticated", {}),
    ("session_ready", READY),
]


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    return make_bridge("alpha", node.url)


def send_1(body: Any, *, at: int | None = None, event_id: str = "", boot: str = "", sequence: int | str = "") -> str:
    """By version 1, with headers that it does not cover; the portal's word for what became of it."""
    raw, headers = signed_headers(SECRET, body, at=at)
    sent = {"X-Event-Id": event_id, "X-Bridge-Boot": boot, "X-Bridge-Sequence": str(sequence)}
    return outcome(post(raw, headers | {name: value for name, value in sent.items() if value}))


def send_2(body: Any, **named: Any) -> str:
    return outcome(post(*signed_headers_2(SECRET, body, **named)))


def outcome(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return str(answer.json()["outcome"])


def checks(session: LinkSession) -> int:
    return session.orders.filter(kind=BridgeOrder.Kind.CHECK).count()


class TestVersion2:
    """The id is the identity."""

    def test_equal_bodies_in_one_second_are_as_many_events_as_ids(self, body: dict[str, Any]) -> None:
        now = int(time.time())
        told = [send_2(body, event_id=f"e{number}", boot="b", sequence=number, at=now) for number in (1, 2, 3)]
        assert "duplicate" not in told
        assert WebhookEvent.objects.count() == 3

    def test_so_without_a_boot_and_a_number(self, body: dict[str, Any]) -> None:
        now = int(time.time())
        assert "duplicate" not in [send_2(body, event_id=f"e{number}", at=now) for number in (1, 2, 3)]

    @pytest.mark.parametrize(
        ("later", "more"),
        [(0, {}), (0, {"boot": "b", "sequence": 9}), (0, {"boot": "z"}), (20, {})],
        ids=["the same", "another number", "another run", "another time"],
    )
    def test_one_id_is_one_event_whatever_else_was_signed_with_it(
        self, body: dict[str, Any], session: LinkSession, later: int, more: dict[str, Any]
    ) -> None:
        send_2(body, event_id="e1", boot="b", sequence=1)
        assert send_2(body, event_id="e1", at=int(time.time()) + later, **more) == "duplicate"
        other = {"event": "session_ready", "data": {"session_id": session.session_id, **READY}}
        assert send_2(other, event_id="e1", boot="b", sequence=2) == "duplicate"
        assert WebhookEvent.objects.count() == 1
        assert checks(session) == 0  # nothing is in doubt

    def test_one_that_came_by_version_1_first(self, body: dict[str, Any]) -> None:
        """The bridge was updated while the event waited in its outbox."""
        assert send_1(body, event_id="e1") == "applied"
        assert send_2(body, event_id="e1") == "duplicate"

    def test_a_story_with_equal_bodies_in_one_second_ends_connected(
        self, session: LinkSession, account: Account
    ) -> None:
        now = int(time.time())
        for number, (event, data) in enumerate(STORY, 1):
            told = {"event": event, "data": {"session_id": session.session_id, **data}}
            assert send_2(told, event_id=f"id-{number}", boot="b", sequence=number, at=now) != "duplicate"
        assert status_of(account) == Status.CONNECTED
        assert WebhookEvent.objects.count() == 5


class TestVersion1WithIds:
    """No header is covered, so a replay may carry any. Only one that goes on in the order is another event."""

    @pytest.fixture(autouse=True)
    def first(self, body: dict[str, Any], session: LinkSession) -> int:
        """The second in which the first was sent, and all others are."""
        now = int(time.time())
        assert send_1(body, event_id="e1", boot="b", sequence=5, at=now) == "applied"
        return now

    def test_the_next_of_the_run_is_another_event(self, body: dict[str, Any], session: LinkSession, first: int) -> None:
        assert send_1(body, event_id="e2", boot="b", sequence=6, at=first) != "duplicate"
        assert send_1(body, event_id="e3", boot="b", sequence=900, at=first) != "duplicate"
        assert list(WebhookEvent.objects.order_by("pk").values_list("event_id", "sequence")) == [
            ("e1", 5),
            ("e2", 6),
            ("e3", 900),
        ]
        assert checks(session) == 0

    @pytest.mark.parametrize(
        "named",
        [
            {"event_id": "e2"},
            {"event_id": "e2", "boot": "b"},
            {"event_id": "e2", "sequence": 6},
            {"event_id": "e2", "boot": "b", "sequence": 5},
            {"event_id": "e2", "boot": "b", "sequence": 4},
            {"event_id": "e2", "boot": "b", "sequence": "0"},
            {"event_id": "e2", "boot": "B", "sequence": 6},
            {"event_id": "e2", "boot": "another", "sequence": 6},
            {"boot": "b", "sequence": 6},
            {},
        ],
        ids=str,
    )
    def test_any_other_is_a_duplicate_and_the_bridge_is_asked(
        self, body: dict[str, Any], session: LinkSession, first: int, named: dict[str, Any]
    ) -> None:
        assert send_1(body, at=first, **named) == "duplicate"
        assert WebhookEvent.objects.count() == 1
        assert checks(session) == 1

    @pytest.mark.parametrize("sequence", [5, 6, ""])
    def test_a_known_id_is_a_duplicate_and_no_question(
        self, body: dict[str, Any], session: LinkSession, first: int, sequence: int
    ) -> None:
        assert send_1(body, event_id="e1", boot="b", sequence=sequence, at=first) == "duplicate"
        assert checks(session) == 0

    def test_every_stored_event_of_the_session_counts_not_only_the_equal_one(
        self, body: dict[str, Any], session: LinkSession, first: int
    ) -> None:
        other = {"event": "session_reconnected", "data": {"session_id": session.session_id}}
        send_1(other, event_id="e9", boot="b", sequence=9)
        assert send_1(body, event_id="e2", boot="b", sequence=8, at=first) == "duplicate"
        assert send_1(body, event_id="e3", boot="b", sequence=10, at=first) != "duplicate"

    def test_a_replay_of_the_second_is_one_too(self, body: dict[str, Any], first: int) -> None:
        send_1(body, event_id="e2", boot="b", sequence=6, at=first)
        for named in ({"event_id": "e2"}, {"event_id": "e3"}, {}):
            assert send_1(body, **named, boot="b", sequence=6, at=first) == "duplicate"
        assert WebhookEvent.objects.count() == 2

    def test_the_next_second_is_another_request(self, body: dict[str, Any], first: int) -> None:
        assert send_1(body, event_id="e2", at=first + 1) != "duplicate"

    def test_another_bridges_ids_and_numbers_do_not_matter(self, body: dict[str, Any], first: int) -> None:
        make_bridge("beta", "http://127.0.0.1:9")
        raw, headers = signed_headers("beta-hmac", body, at=first)
        assert outcome(post(raw, headers | {"X-Event-Id": "e1"})) == "unknown_session"


class TestTheBridgeIsAsked:
    """Where version 1 cannot tell two events from one, its list says what is true."""

    def tell(self, session: LinkSession, **named: Any) -> list[str]:
        now, told = int(time.time()), []
        for number, (event, data) in enumerate(STORY, 1):
            request = {"event": event, "data": {"session_id": session.session_id, **data}}
            ids: dict[str, Any] = {"event_id": f"id-{number}"} if named.get("ids") else {}
            order: dict[str, Any] = {"boot": "b", "sequence": number} if named.get("order") else {}
            told.append(send_1(request, at=now, **ids, **order))
        return told

    def test_with_ids_and_numbers_nothing_has_to_be_asked(self, session: LinkSession, account: Account) -> None:
        assert "duplicate" not in self.tell(session, ids=True, order=True)
        assert status_of(account) == Status.CONNECTED
        assert WebhookEvent.objects.count() == 5

    @pytest.mark.parametrize("ids", [True, False])
    def test_without_numbers_the_list_says_that_it_is_connected(
        self, node: MisbehavingBridge, session: LinkSession, account: Account, ids: bool
    ) -> None:
        shows(node, row(session))
        assert self.tell(session, ids=ids)[3:] == ["duplicate", "duplicate"]
        assert status_of(account) == Status.DISCONNECTED
        run_due_tasks(within=3)
        assert status_of(account) == Status.CONNECTED

    def test_and_that_it_is_not(self, node: MisbehavingBridge, session: LinkSession, account: Account) -> None:
        story = [*STORY[1:3], STORY[1], STORY[2]]  # ready, lost, ready, lost
        shows(node, row(session, "disconnected"))
        now = int(time.time())
        told = [
            send_1({"event": event, "data": {"session_id": session.session_id, **data}}, at=now)
            for event, data in story
        ]
        assert told[2:] == ["duplicate", "duplicate"]
        run_due_tasks(within=3)
        assert status_of(account) == Status.DISCONNECTED

    def test_it_is_asked_once_while_the_question_waits(self, body: dict[str, Any], session: LinkSession) -> None:
        now = int(time.time())
        assert [send_1(body, at=now) for _ in range(5)] == ["applied"] + ["duplicate"] * 4
        assert checks(session) == 1

    def test_and_again_where_the_list_may_have_been_read_before(
        self, body: dict[str, Any], session: LinkSession
    ) -> None:
        now = int(time.time())
        send_1(body, at=now)
        send_1(body, at=now)
        session.orders.filter(kind=BridgeOrder.Kind.CHECK).update(state=BridgeOrder.State.CLAIMED)
        send_1(body, at=now)
        assert checks(session) == 2
