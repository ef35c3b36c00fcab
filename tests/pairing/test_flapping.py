"""A link that is lost again and again: after five losses within an hour that is said, and the history stays short."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, AccountNotice, Bridge, LinkLoss, LinkSession, Transition, User
from accounts.pairing import attempts
from tests.support.links import READY, linked, status_of
from tests.support.portal import Portal
from tests.support.races import assert_every_history_is_a_legal_chain, at_once, numbers, tell

__all__ = ["linked"]

pytestmark = pytest.mark.django_db
Flap = tuple[str | None, float]  # the reason for a loss, and seconds until the next


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now() + timedelta(minutes=10)) as traveller:
        yield traveller


def say(portal: Portal, event: str, session: LinkSession, **more: Any) -> None:
    """No two bodies are alike: an equal one within a minute may be a repetition."""
    assert portal.post(event, session, number=next(numbers), **more).json()["outcome"] == "applied"


def lose(portal: Portal, session: LinkSession, reason: str | None) -> None:
    say(portal, "session_disconnected", session, **({} if reason is None else {"reason": reason}))


def flap(portal: Portal, session: LinkSession, clock: time_machine.Traveller, losses: Sequence[Flap]) -> None:
    """Each loss with its reason; the link is back a moment later."""
    for reason, seconds in losses:
        lose(portal, session, reason)
        clock.shift(timedelta(seconds=seconds / 10))
        say(portal, "session_ready", session, **READY)
        clock.shift(timedelta(seconds=seconds * 9 / 10))


def notice_of(session: LinkSession) -> AccountNotice | None:
    return AccountNotice.objects.current().filter(account=session.account_id, kind="flapping").first()


def history(session: LinkSession) -> list[tuple[str, str, str, int]]:
    rows = Transition.objects.filter(account=session.account_id).order_by("pk")
    return list(rows.values_list("old", "new", "trigger", "losses"))


FAST = [("NAVIGATION", 2.0)] * 40
FIVE = [("NAVIGATION", 60.0)] * 5
SLOW = [("CONFLICT", 14 * 60.0)] * 6
ALTERNATING = [("NAVIGATION", 30.0), ("CONFLICT", 30.0), ("500", 30.0), (None, 30.0), ("KeepAliveTimeout", 30.0)] * 3
WITHOUT_REASON: list[Flap] = [(None, 100.0)] * 7
IN_BURSTS = [("NAVIGATION", 5.0), ("NAVIGATION", 1500.0)] * 5


@pytest.mark.parametrize(
    ("losses", "reasons"),
    [
        (FAST, "NAVIGATION"),
        (FIVE, "NAVIGATION"),
        (SLOW, "CONFLICT"),
        (ALTERNATING, "KeepAliveTimeout, 500, CONFLICT, NAVIGATION"),
        (WITHOUT_REASON, ""),
        (IN_BURSTS, "NAVIGATION"),
    ],
    ids=["fast", "five", "slow", "alternating", "without a reason", "in bursts"],
)
def test_it_is_said_with_count_span_and_reasons(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller, losses: list[Flap], reasons: str
) -> None:
    began = timezone.now()
    flap(portal, linked, clock, losses)
    notice = notice_of(linked)
    assert notice is not None
    assert (notice.count, notice.text) == (len(losses), reasons)
    assert abs(notice.since - began) < timedelta(seconds=1)
    assert notice.last_at == linked.losses.latest("pk").at
    assert status_of(linked.account) == Status.CONNECTED
    assert LinkLoss.objects.count() == 5


@pytest.mark.parametrize("losses", [FAST, FIVE, SLOW, ALTERNATING, WITHOUT_REASON])
def test_of_the_rows_between_the_first_and_the_last_one_is_left(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller, losses: list[Flap]
) -> None:
    before = history(linked)
    flap(portal, linked, clock, losses)
    assert history(linked)[len(before) :] == [
        ("connected", "disconnected", "session_disconnected", 0),
        ("disconnected", "connected", "flapping", len(losses) - 2),
        ("connected", "disconnected", "session_disconnected", 0),
        ("disconnected", "connected", "session_ready", 0),
    ]
    row = Transition.objects.get(trigger="flapping")
    assert row.began_at is not None
    assert row.began_at < row.created_at
    assert_every_history_is_a_legal_chain()


@pytest.mark.parametrize("losses", [FIVE, SLOW, ALTERNATING])
def test_while_it_is_not_back_its_last_loss_is_the_last_row(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller, losses: list[Flap]
) -> None:
    before = history(linked)
    flap(portal, linked, clock, losses)
    lose(portal, linked, "NAVIGATION")
    assert history(linked)[len(before) :] == [
        ("connected", "disconnected", "session_disconnected", 0),
        ("disconnected", "connected", "flapping", len(losses) - 1),
        ("connected", "disconnected", "session_disconnected", 0),
    ]
    assert_every_history_is_a_legal_chain()


@pytest.mark.parametrize(
    "losses",
    [
        [("NAVIGATION", 86_400.0)] * 10,
        [("NAVIGATION", 30.0)] * 4,
        [("NAVIGATION", 20 * 60.0)] * 12,
        [("NAVIGATION", 10.0)] * 3 + [("NAVIGATION", 3_700.0)] + [("NAVIGATION", 10.0)] * 4,
        [("CONFLICT", 901.0)] * 8,
    ],
    ids=["one a day", "four", "three an hour", "four and, after more than an hour, four", "four an hour"],
)
def test_fewer_are_silent(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller, losses: list[Flap]
) -> None:
    before = len(history(linked))
    flap(portal, linked, clock, losses)
    assert not AccountNotice.objects.exists()
    assert len(history(linked)) == before + 2 * len(losses)


def test_it_is_over_an_hour_after_the_last_loss_and_begins_anew(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller
) -> None:
    flap(portal, linked, clock, FIVE)
    clock.shift(timedelta(minutes=50))
    assert notice_of(linked) is not None
    clock.shift(timedelta(minutes=11))
    assert notice_of(linked) is None
    flap(portal, linked, clock, FIVE[:4])
    assert notice_of(linked) is None
    flap(portal, linked, clock, FIVE[:1])
    notice = notice_of(linked)
    assert notice is not None
    assert notice.count == 5
    assert Transition.objects.filter(trigger="flapping").count() == 2
    assert_every_history_is_a_legal_chain()


@pytest.mark.parametrize("end", ["LOGOUT", "TOS_BLOCK", "401", "UNPAIRED"])
def test_one_that_ends_in_a_log_out_is_said_too(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller, end: str
) -> None:
    """The log-out is the last loss."""
    flap(portal, linked, clock, [("NAVIGATION", 10.0)] * 4)
    assert notice_of(linked) is None
    lose(portal, linked, end)
    assert status_of(linked.account) in {Status.LOGGED_OUT, Status.FAILED}
    notice = notice_of(linked)
    assert notice is not None
    assert (notice.count, notice.text) == (5, f"{end}, NAVIGATION")
    assert [row[2] for row in history(linked)][-3:] == ["session_disconnected", "flapping", "session_disconnected"]
    assert_every_history_is_a_legal_chain()


def test_one_that_is_lost_when_it_is_logged_out(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller
) -> None:
    flap(portal, linked, clock, FIVE)
    lose(portal, linked, "NAVIGATION")
    lose(portal, linked, "LOGOUT")
    assert status_of(linked.account) == Status.LOGGED_OUT
    notice = notice_of(linked)
    assert notice is not None
    assert notice.count == 6
    assert_every_history_is_a_legal_chain()


def test_what_staff_did_in_between_stays(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller, django_user_model: type[User]
) -> None:
    flap(portal, linked, clock, [("NAVIGATION", 10.0)] * 3)
    alice = django_user_model.objects.create(username="alice")
    Account.objects.get(pk=linked.account_id).note(trigger="cooldown_overridden", actor=alice, reason="It must link.")
    flap(portal, linked, clock, [("CONFLICT", 10.0)] * 5)
    assert Transition.objects.get(actor=alice).reason == "It must link."
    assert Transition.objects.filter(trigger="flapping").count() == 2  # before it and after it
    reasons = set(Transition.objects.filter(trigger="flapping").values_list("reason", flat=True))
    assert reasons == {"NAVIGATION", "CONFLICT"}
    assert_every_history_is_a_legal_chain()


def test_a_new_link_of_the_account_begins_with_none(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller
) -> None:
    flap(portal, linked, clock, [("NAVIGATION", 10.0)] * 4)
    attempts.force_reset(linked.account_id)
    Bridge.objects.update(last_heard_at=timezone.now())
    another = attempts.start(linked.account_id, trigger="test")
    portal.post("session_ready", another, **READY)
    flap(portal, another, clock, [("NAVIGATION", 10.0)] * 4)
    assert notice_of(another) is None
    flap(portal, another, clock, [("NAVIGATION", 10.0)])
    assert notice_of(another) is not None
    assert_every_history_is_a_legal_chain()


def test_a_reset_by_staff_is_no_loss(portal: Portal, linked: LinkSession, clock: time_machine.Traveller) -> None:
    flap(portal, linked, clock, [("NAVIGATION", 10.0)] * 4)
    attempts.force_reset(linked.account_id)
    assert notice_of(linked) is None
    assert LinkLoss.objects.count() == 4


def test_nothing_is_decided_by_the_rows_that_went(
    portal: Portal, linked: LinkSession, clock: time_machine.Traveller
) -> None:
    flap(portal, linked, clock, [("NAVIGATION", 10.0)] * 4)
    Transition.objects.all().delete()
    flap(portal, linked, clock, [("NAVIGATION", 10.0)] * 3)
    notice = notice_of(linked)
    assert notice is not None
    assert notice.count == 7


@pytest.mark.race
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
def test_losses_and_returns_at_once_keep_the_chain(portal: Portal, linked: LinkSession) -> None:
    def word(number: int) -> Any:
        if number % 2:
            return tell(portal, "session_ready", linked, **READY)
        return tell(portal, "session_disconnected", linked, reason=f"reason {number}")

    for _ in range(2):
        at_once([partial(word, number) for number in range(12)])
    assert_every_history_is_a_legal_chain()
    assert LinkLoss.objects.count() <= 5
