"""What has grown old is deleted a little at a time; what still waits, and the history, never."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Failure, Task

from accounts.housekeeping import pruning, retention
from accounts.jobs.running import Unfinished
from accounts.jobs.schedules import JOBS
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Message, Transition
from webhooks import retention as inbox_retention
from webhooks.models import UnmatchedTraffic, WebhookEvent

State = WebhookEvent.State
Order = BridgeOrder.State


def ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def run() -> dict[str, int]:
    return retention.run() | inbox_retention.run()


@pytest.fixture
def make_events(session: LinkSession) -> Any:
    def make(number: int, state: State, *, days: float) -> None:
        when = ago(days)
        finished = when if state in {State.APPLIED, State.IGNORED, State.DEAD} else None
        WebhookEvent.objects.bulk_create(
            WebhookEvent(
                bridge_id=session.bridge_id,
                session=session,
                event="session_ready",
                payload={},
                replay_key=f"{state}-{days}-{index}",
                state=state,
                received_at=when,
                finished_at=finished,
            )
            for index in range(number)
        )

    return make


class TestTheInbox:
    @pytest.mark.parametrize(
        ("state", "kept_days", "gone_days"),
        [(State.APPLIED, 29, 31), (State.IGNORED, 29, 31), (State.DEAD, 179, 181)],
    )
    def test_by_age_and_state(self, make_events: Any, state: State, kept_days: int, gone_days: int) -> None:
        make_events(2, state, days=gone_days)
        make_events(3, state, days=kept_days)
        run()
        assert WebhookEvent.objects.count() == 3

    @pytest.mark.parametrize("state", [State.RECEIVED, State.FAILED])
    def test_what_waits_for_its_turn_stays(self, make_events: Any, state: State) -> None:
        make_events(2, state, days=4000)
        run()
        assert WebhookEvent.objects.count() == 2

    def test_an_old_one_that_was_replayed_today_stays(self, make_events: Any) -> None:
        make_events(1, State.APPLIED, days=400)
        WebhookEvent.objects.update(finished_at=ago(1))
        run()
        assert WebhookEvent.objects.count() == 1

    def test_traffic_that_moved_nothing_stays_90_days_after_its_last(self, bridge: Bridge) -> None:
        for days in (89, 91):
            UnmatchedTraffic.objects.create(
                bridge=bridge, session_id=f"s{days}", event="x", reason="ended", first_at=ago(500), last_at=ago(days)
            )
        run()
        assert [row.session_id for row in UnmatchedTraffic.objects.all()] == ["s89"]


class TestMessages:
    def message(self, session: LinkSession, name: str, *, days: float, media: str = "") -> Message:
        return Message.objects.create(session=session, message_id=name, created_at=ago(days), media=media)

    def file(self, session: LinkSession, name: str) -> str:
        return default_storage.save(f"messages/{session.pk}/{name}", ContentFile(b"x"))

    def test_with_their_files_after_a_year(self, session: LinkSession) -> None:
        old, young = self.file(session, "old.jpg"), self.file(session, "young.jpg")
        self.message(session, "1", days=366, media=old)
        self.message(session, "2", days=364, media=young)
        run()
        assert [message.message_id for message in Message.objects.all()] == ["2"]
        assert (default_storage.exists(old), default_storage.exists(young)) == (False, True)

    def test_a_file_that_a_younger_message_shares_stays(self, session: LinkSession) -> None:
        shared = self.file(session, "shared.jpg")
        self.message(session, "1", days=366, media=shared)
        self.message(session, "2", days=1, media=shared)
        run()
        assert Message.objects.count() == 1
        assert default_storage.exists(shared)

    def test_a_file_that_is_gone_already_holds_nothing_up(self, session: LinkSession) -> None:
        self.message(session, "1", days=366, media=f"messages/{session.pk}/gone.jpg")
        run()
        assert not Message.objects.exists()


class TestOthers:
    def test_closed_orders_after_90_days(self, session: LinkSession) -> None:
        BridgeOrder.objects.all().delete()
        for state in Order.values:
            closed = ago(91) if state in retention.CLOSED else None
            BridgeOrder.objects.create(
                session=session, bridge_id=session.bridge_id, kind="stop", state=state, created_at=ago(91),
                closed_at=closed,
            )  # fmt: skip
        BridgeOrder.objects.create(
            session=session, bridge_id=session.bridge_id, kind="stop", state=Order.CONFIRMED, closed_at=ago(89)
        )
        run()
        left = set(BridgeOrder.objects.values_list("state", flat=True))
        assert left == {Order.PENDING, Order.CLAIMED, Order.UNCLEAR, Order.CONFIRMED}

    @pytest.mark.django_db
    def test_the_queues_failures_after_30_days(self) -> None:
        for days in (29, 31):
            Task.objects.create(id=f"t{days}", name="x", func="x", started=ago(days), stopped=ago(days), success=False)
        run()
        assert [task.id for task in Failure.objects.all()] == ["t29"]

    def test_unknown_sessions_that_were_settled_after_14_days(self, bridge: Bridge) -> None:
        for days in (13, 15):
            bridge.strays.create(session_id=f"s{days}", outcome="gone", settled_at=ago(days), first_seen_at=ago(99))
        bridge.strays.create(session_id="open", first_seen_at=ago(99), last_seen_at=ago(99))
        run()
        assert set(bridge.strays.values_list("session_id", flat=True)) == {"s13", "open"}

    def test_the_history_and_the_accounts_stay(self, account: Account, session: LinkSession) -> None:
        Transition.objects.update(created_at=ago(4000))
        LinkSession.objects.update(started_at=ago(4000), ended_at=ago(3999))
        before = (Transition.objects.count(), LinkSession.objects.count(), Account.objects.count())
        run()
        assert (Transition.objects.count(), LinkSession.objects.count(), Account.objects.count()) == before

    def test_zero_days_is_for_ever(self, make_events: Any, session: LinkSession, settings: Any) -> None:
        make_events(1, State.APPLIED, days=4000)
        for name in ("EVENTS", "DEAD", "UNMATCHED", "MESSAGES", "ORDERS", "FAILURES"):
            setattr(settings, f"LINKDESK_KEEP_{name}_DAYS", 0)
        assert not any(run().values())
        assert WebhookEvent.objects.count() == 1

    def test_it_is_on_the_schedule(self) -> None:
        hourly = {job.function for job in JOBS if job.minutes == 60}
        assert {"accounts.housekeeping.retention.run", "webhooks.retention.run"} <= hourly


class TestALittleAtATime:
    def test_five_hundred_rows_a_statement(self, make_events: Any) -> None:
        make_events(1_200, State.APPLIED, days=31)
        with CaptureQueriesContext(connection) as captured:
            assert run()["done"] == 1_200
        deletes = [query["sql"] for query in captured if query["sql"].startswith("DELETE")]
        assert len(deletes) == 3

    def test_not_faster_than_the_pace(self, make_events: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pruning, "PER_SECOND", 1_000)
        make_events(1_000, State.APPLIED, days=31)
        start = time.monotonic()
        run()
        assert time.monotonic() - start > 1

    def test_a_piece_ends_in_time_and_says_that_there_is_more(
        self, make_events: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_events(1_200, State.APPLIED, days=31)
        monkeypatch.setattr(pruning, "PIECE", 0.1)
        pieces = []
        while isinstance(piece := inbox_retention.run(), Unfinished):
            pieces.append(piece["done"])
        assert len(pieces) > 1
        assert sum(pieces) + piece["done"] == 1_200

    def test_no_kind_starves_another(
        self, make_events: Any, session: LinkSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_events(3, State.DEAD, days=181)
        make_events(1_200, State.APPLIED, days=31)
        monkeypatch.setattr(pruning, "BATCH", 100)
        monkeypatch.setattr(pruning, "PATIENCE", 0.05)
        monkeypatch.setattr(pruning, "PIECE", 0.3)
        first = inbox_retention.run()
        assert isinstance(first, Unfinished)
        assert (first["dead"], first["done"] < 1_200) == (3, True)

    def test_young_rows_are_not_looked_through(self, make_events: Any) -> None:
        """Old rows come first: the walk ends at the first young one."""
        make_events(3, State.APPLIED, days=31)
        make_events(1, State.APPLIED, days=1)
        young = WebhookEvent.objects.latest("pk").pk
        with CaptureQueriesContext(connection) as captured:
            inbox_retention.run()
        assert any(f"< {young}" in query["sql"] for query in captured)


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_twice_at_once_deletes_each_row_once(make_events: Any, session: LinkSession) -> None:
    make_events(5_000, State.APPLIED, days=31)
    make_events(5, State.APPLIED, days=1)

    def one(_: int) -> int:
        try:
            return inbox_retention.run()["done"]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(one, range(4))) == 5_000
    assert WebhookEvent.objects.count() == 5
