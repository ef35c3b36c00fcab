"""Replaying what failed: by hand, beside the sweep, as often as one likes; nothing is applied twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, LinkSession
from tests.support.faults import Breaker, breaks, let_it_become_due, mends, sweep_when_due
from tests.support.links import READY, link, status_of
from tests.support.portal import Portal
from webhooks.inbox import process
from webhooks.models import UnmatchedTraffic, WebhookEvent

__all__ = ["breaks", "mends"]

State = WebhookEvent.State


def replay(*options: str) -> list[str]:
    out = StringIO()
    call_command("replay", *options, stdout=out)
    return out.getvalue().splitlines()


@pytest.fixture
def dead(breaks: Breaker, mends: Any, portal: Portal, session: LinkSession) -> WebhookEvent:
    """A `session_ready` that nobody tries any more, though its fault is gone."""
    breaks("session_ready", RuntimeError("boom"))
    portal.post("session_ready", session, **READY)
    for _ in range(8):
        sweep_when_due()
    mends("session_ready")
    event = WebhookEvent.objects.get()
    assert event.state == State.DEAD
    return event


def copies(original: WebhookEvent, number: int, **values: Any) -> None:
    fields = {
        field.name: getattr(original, field.name) for field in original._meta.fields if field.name != "id"
    } | values
    for index in range(number):
        WebhookEvent.objects.create(**fields | {"replay_key": f"copy-{values}-{index}"[:64]})


class TestOne:
    def test_by_its_number(self, dead: WebhookEvent, account: Account) -> None:
        assert replay("--event", str(dead.pk)) == [f"Event {dead.pk} (session_ready) is applied."]
        assert status_of(account) == Status.CONNECTED
        dead.refresh_from_db()
        assert (dead.state, dead.attempts, dead.error) == (State.APPLIED, 2, "")

    def test_by_the_id_of_the_bridge(self, dead: WebhookEvent, account: Account) -> None:
        WebhookEvent.objects.update(event_id="e-77")
        replay("--event", "e-77")
        assert status_of(account) == Status.CONNECTED

    def test_never_twice(self, dead: WebhookEvent, account: Account) -> None:
        replay("--event", str(dead.pk))
        version = account.transitions.count()
        with pytest.raises(CommandError, match="is not replayed: it was applied already"):
            replay("--event", str(dead.pk))
        assert account.transitions.count() == version

    def test_one_that_somebody_works_on_is_left_to_them(self, dead: WebhookEvent) -> None:
        WebhookEvent.objects.update(state=State.RECEIVED, due_at=timezone.now() + timedelta(seconds=5))
        with pytest.raises(CommandError, match="somebody works on it"):
            replay("--event", str(dead.pk))

    def test_it_fails_again_and_is_tried_by_itself_from_the_beginning(
        self, dead: WebhookEvent, breaks: Breaker
    ) -> None:
        breaks("session_ready", RuntimeError("still"))
        assert "is failed (RuntimeError: still)" in replay("--event", str(dead.pk))[0]
        dead.refresh_from_db()
        assert (dead.state, dead.attempts, dead.finished_at) == (State.FAILED, 2, None)
        assert sweep_when_due() == 1

    def test_one_that_was_overtaken_does_not_take_the_account_back(
        self, breaks: Breaker, mends: Any, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        breaks("session_disconnected", RuntimeError("boom"))
        portal.post("session_disconnected", session, reason="NAVIGATION")
        portal.post("session_ready", session, **READY)
        Account.objects.update(status_changed_at=timezone.now() + timedelta(seconds=1))
        WebhookEvent.objects.filter(event="session_disconnected").update(state=State.DEAD, attempts=8)
        mends("session_disconnected")
        assert "1 ignored" in replay("--event", "session_disconnected")[-1]
        assert status_of(account) == Status.CONNECTED

    @pytest.mark.parametrize(
        ("event", "words"),
        [
            ("99999", "There is no event 99999. The names are: pairing_code"),
            ("9" * 30, "There is no event 999"),
            ("sesion_ready", "There is no event sesion_ready"),
            ("message_received", "messages are stored at once"),
            ("new_thing", "counted, not kept"),
        ],
    )
    def test_none_of_this_name_or_number(self, portal: Portal, session: LinkSession, event: str, words: str) -> None:
        portal.post("new_thing", session)
        with pytest.raises(CommandError, match=words):
            replay("--event", event)


class TestMany:
    def test_progress_and_a_plain_ending(self, dead: WebhookEvent) -> None:
        copies(dead, 119)
        lines = replay("--dead")
        assert [line.partition(":")[0] for line in lines] == ["50 of 120", "100 of 120", "Done, 120 of 120"]
        assert lines[-1] == "Done, 120 of 120: 1 applied, 119 ignored, 0 failed"

    def test_only_those_that_are_asked_for(self, dead: WebhookEvent) -> None:
        old = timezone.now() - timedelta(days=3)
        copies(dead, 1, received_at=old)
        copies(dead, 1, event="session_reconnected")
        copies(dead, 1, event="session_reconnected", state=State.FAILED)
        day = (timezone.now() - timedelta(days=1)).date().isoformat()
        for options, number in [
            (["--dead", "--since", "2h"], 2),
            (["--since", day, "--event", "session_ready"], 0),
            (["--event-name", "session_reconnected"], 1),
            (["--since", f"{old - timedelta(minutes=1):%Y-%m-%dT%H:%M}"], 1),
        ]:
            last = replay(*options)[-1]
            assert last.startswith(f"Done, {number} of {number}" if number else "There is nothing to replay."), options

    def test_nothing_is_chosen_by_saying_nothing(self, dead: WebhookEvent) -> None:
        with pytest.raises(CommandError, match="Say which events"):
            replay()

    @pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "", "2h30"])
    def test_a_time_that_is_none(self, dead: WebhookEvent, since: str) -> None:
        with pytest.raises(CommandError, match=r"is no time|Say which"):
            replay("--since", since)

    def test_what_failed_again_is_said(self, dead: WebhookEvent, breaks: Breaker) -> None:
        breaks("session_ready", RuntimeError("still"))
        lines = replay("--event", "session_ready")
        assert lines[0] == "Done, 1 of 1: 0 applied, 0 ignored, 1 failed"
        assert "tried again by itself" in lines[1]

    def test_unmatched_traffic_is_not_kept(self, portal: Portal) -> None:
        portal.post("session_ready", "webjs_1_1_nobody00", **READY)
        assert UnmatchedTraffic.objects.count() == 1
        assert replay("--event", "session_ready") == ["There is nothing to replay."]


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_beside_the_sweep_and_other_people_each_event_is_applied_once(
    dead: WebhookEvent, account: Account, session: LinkSession
) -> None:
    WebhookEvent.objects.update(state=State.FAILED, attempts=3)
    let_it_become_due()

    def one(number: int) -> None:
        try:
            process.retry(dead.pk, anew=True) if number % 2 else process.sweep()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(16)))
    assert account.transitions.filter(new=Status.CONNECTED).count() == 1
    dead.refresh_from_db()
    assert dead.state == State.APPLIED
