"""`session_restricted`: WhatsApp restricts an account that stays connected."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.lifecycle import Status
from accounts.models import Account, AccountNotice, Bridge, LinkSession, Transition
from accounts.pairing import attempts, link_probe
from tests.api.conftest import program
from tests.support.links import QR, link, linked, status_of
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.races import at_once, tell
from webhooks.models import WebhookEvent

__all__ = ["linked"]

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=6)
LATER_S = int(LATER.timestamp())


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW) as traveller:
        yield traveller


def restrict(portal: Portal, session: LinkSession, **data: Any) -> str:
    answer = portal.post("session_restricted", session, **data)
    assert answer.status_code == 200, answer.content
    outcome: str = answer.json()["outcome"]
    return outcome


def current(session: LinkSession) -> list[AccountNotice]:
    return list(AccountNotice.objects.current().filter(account=session.account_id).order_by("kind"))


@pytest.mark.parametrize(
    ("data", "kind", "text", "until"),
    [
        ({"kind": "time_lock", "until": LATER_S, "message": "Wait."}, "time_lock", "Wait.", LATER),
        ({"kind": "chat_cap", "used": 10, "total": 10, "until": LATER_S}, "chat_cap", "10 of 10 used", LATER),
        ({"kind": "send_refused", "code": 463}, "send_refused", "", None),
        ({"kind": "account_limited", "message": "Slow down"}, "restricted", "Slow down", None),
        ({"code": "463: not allowed", "message": "x"}, "send_refused", "x", None),
        ({"kind": 463}, "send_refused", "", None),
        ({"kind": " Time_Lock ", "active": True}, "time_lock", "", None),
        ({}, "restricted", "", None),
    ],
)
def test_it_is_a_notice_and_the_account_stays_connected(
    portal: Portal, linked: LinkSession, data: dict[str, Any], kind: str, text: str, until: datetime | None
) -> None:
    assert restrict(portal, linked, **data) == "applied"
    assert status_of(linked.account) == Status.CONNECTED
    [notice] = current(linked)
    assert (notice.kind, notice.text, notice.until, notice.since) == (kind, text, until, notice.last_at)
    entry = Transition.objects.filter(account=linked.account_id).latest("pk")
    assert (entry.old, entry.new, entry.trigger) == ("connected", "connected", "session_restricted")
    assert entry.reason.startswith(kind)


@pytest.mark.parametrize(
    "until",
    [
        LATER_S, LATER_S * 1000, float(LATER_S), str(LATER_S), "2026-12-01T18:00:00Z", "2026-12-01T18:00:00.000Z",
        "2026-12-02T01:00:00+07:00", "2026-12-01 18:00:00", f" {LATER_S} ",
    ],
)  # fmt: skip
def test_its_end_is_read_in_every_spelling(portal: Portal, linked: LinkSession, until: Any) -> None:
    restrict(portal, linked, kind="time_lock", until=until)
    assert [notice.until for notice in current(linked)] == [LATER]


@pytest.mark.parametrize(
    "until", [None, "", "soon", [], {}, True, -1, 0, 90, 1e300, 2**62, "9" * 400, "2026-13-45T99:00:00Z", "0000-00-00"]
)
def test_an_end_that_cannot_be_read_is_none(portal: Portal, linked: LinkSession, until: Any) -> None:
    assert restrict(portal, linked, kind="time_lock", until=until) == "applied"
    assert [notice.until for notice in current(linked)] == [None]


@pytest.mark.parametrize(
    "data",
    [
        {"kind": None, "active": None, "until": None, "message": None, "used": None, "total": None},
        {"kind": [], "active": "yes", "message": ["x"], "used": "10", "total": 10},
        {"kind": {"a": 1}, "active": 1, "message": 5},
        {"kind": "x" * 3000, "message": "y" * 100_000},
        {"kind": 1.5, "code": [463], "message": {"text": "x"}},
    ],
)
def test_what_decorates_costs_no_event(portal: Portal, linked: LinkSession, data: dict[str, Any]) -> None:
    assert restrict(portal, linked, **data) == "applied"
    assert [notice.kind for notice in current(linked)] == ["restricted"]
    assert WebhookEvent.objects.latest("pk").state == WebhookEvent.State.APPLIED


@pytest.mark.parametrize("over", [False, 0, "false", "No", "off"])
def test_it_ends_by_the_next_event(portal: Portal, linked: LinkSession, over: Any) -> None:
    restrict(portal, linked, kind="time_lock")
    restrict(portal, linked, kind="chat_cap")
    assert restrict(portal, linked, kind="time_lock", active=over) == "applied"
    assert [notice.kind for notice in current(linked)] == ["chat_cap"]
    assert restrict(portal, linked, kind="time_lock", active=over, message="again") == "no_change"
    assert restrict(portal, linked, active=over) == "applied"
    assert current(linked) == []
    reasons = Transition.objects.filter(trigger="session_restricted").order_by("pk").values_list("reason", flat=True)
    assert list(reasons)[2:] == ["over: time_lock", "over: chat_cap"]


def test_it_ends_by_its_time(portal: Portal, linked: LinkSession, clock: time_machine.Traveller) -> None:
    restrict(portal, linked, kind="time_lock", until=LATER_S)
    clock.move_to(LATER - timedelta(seconds=1))
    assert len(current(linked)) == 1
    clock.move_to(LATER + timedelta(seconds=1))
    assert current(linked) == []
    assert status_of(linked.account) == Status.CONNECTED


def test_without_an_end_it_counts_for_a_day_after_it_was_last_told(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller
) -> None:
    restrict(portal, linked, kind="send_refused")
    clock.shift(timedelta(hours=23))
    restrict(portal, linked, kind="send_refused")
    clock.shift(timedelta(hours=23))
    assert [notice.count for notice in current(linked)] == [2]
    clock.shift(timedelta(hours=2))
    assert current(linked) == []


def test_one_that_is_over_already_is_none(portal: Portal, linked: LinkSession) -> None:
    assert restrict(portal, linked, kind="time_lock", until=int(NOW.timestamp()) - 60) == "no_change"
    assert current(linked) == []


def test_the_same_again_is_counted_and_another_end_is_news(portal: Portal, linked: LinkSession) -> None:
    assert restrict(portal, linked, kind="time_lock", until=LATER_S, number=1) == "applied"
    assert restrict(portal, linked, kind="time_lock", until=LATER_S, number=2) == "no_change"
    assert restrict(portal, linked, kind="time_lock", until=LATER_S + 60) == "applied"
    assert [notice.count for notice in current(linked)] == [3]
    assert Transition.objects.filter(trigger="session_restricted").count() == 2


def test_the_next_link_begins_without_it(portal: Portal, linked: LinkSession, account: Account) -> None:
    restrict(portal, linked, kind="time_lock", until=LATER_S)
    attempts.force_reset(account.pk)
    assert current(linked) == []
    assert portal.post("session_restricted", linked, kind="chat_cap").json()["outcome"] == "ended"
    assert current(linked) == []


def test_a_loss_and_a_return_leave_it(portal: Portal, linked: LinkSession) -> None:
    restrict(portal, linked, kind="time_lock", until=LATER_S)
    portal.post("session_disconnected", linked, reason="NAVIGATION")
    assert len(current(linked)) == 1
    link(portal, linked)
    assert len(current(linked)) == 1


def test_a_session_of_somebody_else_is_not_found(linked: LinkSession, portal: Portal) -> None:
    assert restrict(portal, "webjs_9_1763600000_nobody00", kind="time_lock") == "unknown_session"  # type: ignore[arg-type]  # no session
    assert not AccountNotice.objects.exists()


def test_it_stands_in_the_status_of_the_api(portal: Portal, linked: LinkSession) -> None:
    restrict(portal, linked, kind="chat_cap", used=3, total=10, until=LATER_S, message="New chats")
    [row] = program(linked.account.workspace).get("status").json()["data"]["accounts"]
    assert row["status"] == "connected"
    [notice] = row["notices"]
    assert (notice["kind"], notice["text"], notice["count"]) == ("chat_cap", "New chats. 3 of 10 used", 1)
    assert notice["until"] == "2026-12-01T18:00:00Z"
    restrict(portal, linked, active=False)
    assert program(linked.account.workspace).get("status").json()["data"]["accounts"][0]["notices"] == []


def test_the_status_asks_no_more_for_many(portal: Portal, linked: LinkSession) -> None:
    asks = program(linked.account.workspace)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            asks.get("status")
        return len(seen)

    queries()
    before = queries()
    for kind in ("time_lock", "chat_cap", "send_refused", "other"):
        restrict(portal, linked, kind=kind)
    assert queries() == before


class TestAnAccountThatIsNotLinked:
    @pytest.mark.parametrize("data", [{"kind": "time_lock"}, {"kind": "chat_cap", "until": LATER_S}, {"code": 463}, {}])
    @pytest.mark.parametrize("event", ["", "qr_code_generated", "session_authenticated", "action_required"])
    def test_gets_none(self, portal: Portal, session: LinkSession, event: str, data: dict[str, Any]) -> None:
        run_due_tasks()
        if event:
            portal.post(event, session, **QR)
        assert restrict(portal, session, **data) == "no_change"
        assert not AccountNotice.objects.exists()

    def test_a_link_that_is_lost_gets_it(self, portal: Portal, linked: LinkSession) -> None:
        """Its bridge may tell it just before the link is back."""
        portal.post("session_disconnected", linked, reason="NAVIGATION")
        assert restrict(portal, linked, kind="time_lock") == "applied"
        assert current(linked)


@pytest.mark.race
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
def test_told_sixteen_times_at_once_it_is_one_notice(portal: Portal, linked: LinkSession) -> None:
    kinds = ["time_lock", "chat_cap"] * 8
    at_once([partial(tell, portal, "session_restricted", linked, kind=kind) for kind in kinds])
    assert [(notice.kind, notice.count) for notice in current(linked)] == [("chat_cap", 8), ("time_lock", 8)]


class TestTestMessages:
    """A bridge that does not know the event tells it in its answer."""

    @pytest.fixture
    def bridge(self, db: None, node: MisbehavingBridge) -> Bridge:
        return make_bridge("alpha", url=node.url)

    @pytest.mark.parametrize(
        ("error", "is_one"),
        [
            ("463", True),
            ("Evaluation failed: server returned error 463", True),
            ("463: WhatsApp lets this account write to nobody new", True),
            ('{"code":463}', True),
            ('"463"', True),
            ("463 - not allowed", True),
            ("Failed to send (463)", True),
            ("nack: 463", True),
            ("errorCode=463 for this recipient", True),
            ('<ack error="463" class="message"/>', True),
            ({"code": "463", "message": "not allowed"}, True),
            (f"Evaluation failed: {'a' * 600} server returned error 463", True),
            ("error 4630", False),
            ("Session not connected.", False),
            ("Evaluation failed: at send (pptr://__puppeteer_evaluation_script__:463:20)", False),
            ("Error: 463:20 is not a function", False),
            ("at Client.js:463", False),
            ("/var/lib/463/session is locked", False),
            ("it took 463 ms", False),
            ("463 messages are waiting", False),
            ("error after 463 tries", False),
            ("chunk(463) failed", False),
            ("error 463.5", False),
        ],
    )
    def test_a_463_is_a_notice(
        self, portal: Portal, linked: LinkSession, node: MisbehavingBridge, error: Any, is_one: bool
    ) -> None:
        run_due_tasks()
        node.plays(lambda talk, seen: talk.answer(500, {"error": error}))
        link_probe.send_test_message(linked.account_id, actor=None)
        run_due_tasks()
        assert [notice.kind for notice in current(linked)] == (["send_refused"] if is_one else [])
        assert linked.orders.get(kind="test_message").state == "failed"
        assert status_of(linked.account) == Status.CONNECTED

    @pytest.mark.parametrize(
        ("status", "answer", "is_one"),
        [
            (500, {"error": "not sent", "code": 463}, True),
            (400, {"error": {"code": 463, "message": "x"}}, True),
            (500, {"success": False, "message": "463: not allowed"}, True),
            (463, {"error": "not allowed"}, True),
            (200, {"success": False, "error": "463"}, True),
            (500, {"error": "not sent", "line": 463}, False),
            (500, {"error": "not sent", "messages": 463, "ids": [463]}, False),
        ],
    )
    def test_in_whatever_field_of_the_answer(
        self, portal: Portal, linked: LinkSession, node: MisbehavingBridge, status: int, answer: Any, is_one: bool
    ) -> None:
        run_due_tasks()
        node.plays(lambda talk, seen: talk.answer(status, answer))
        link_probe.send_test_message(linked.account_id, actor=None)
        run_due_tasks()
        assert [notice.kind for notice in current(linked)] == (["send_refused"] if is_one else [])
