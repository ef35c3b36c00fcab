"""What staff see of links that flap and of what WhatsApp restricts: on the account's page, in its history, first."""

import html
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Account, AccountNotice, Bridge, LinkSession, Transition, Workspace
from accounts.pairing import attempts
from accounts.pairing.restrictions import restricted
from sessions_admin.pages.attention import Notice
from tests.support.links import READY, link
from tests.support.portal import Portal
from tests.support.races import numbers

pytestmark = pytest.mark.django_db
Kind = AccountNotice.Kind
LATER = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture
def linked(portal: Portal, session: LinkSession) -> LinkSession:
    link(portal, session)
    session.refresh_from_db()
    return session


def lose(portal: Portal, session: LinkSession, times: int, reason: str = "NAVIGATION") -> None:
    for _ in range(times):
        portal.post("session_disconnected", session, reason=reason, number=next(numbers))
        portal.post("session_ready", session, **READY, number=next(numbers))


def page(client: Client, session: LinkSession) -> Any:
    return client.get(f"/admin/accounts/account/{session.account_id}/change/")


def text_of(response: Any) -> str:
    return html.unescape(response.content.decode())


def first(client: Client) -> list[Notice]:
    kinds = {str(kind.label) for kind in Kind}
    notices = client.get("/admin/").context["overview"].notices
    return [notice for notice in notices if notice.title.partition(": ")[2] in kinds]


class TestFlapping:
    def test_its_page_says_how_often_in_which_time_and_why(
        self, as_alice: Client, portal: Portal, linked: LinkSession
    ) -> None:
        assert page(as_alice, linked).context["desk"].diagnosis.todo == "Nothing to do."
        lose(portal, linked, 4)
        lose(portal, linked, 3, reason="CONFLICT")
        said = page(as_alice, linked).context["desk"].diagnosis
        assert said.meaning == "The link is lost and comes back again and again."
        assert "Nothing to do." not in text_of(page(as_alice, linked))
        note = said.notes[0]
        assert note.startswith("Lost 7 times within ")
        assert "(CONFLICT)" in note
        assert "(NAVIGATION)" in note

    def test_the_history_says_what_its_one_row_stands_for(
        self, as_alice: Client, portal: Portal, linked: LinkSession
    ) -> None:
        lose(portal, linked, 8)
        told = [entry.reason for entry in page(as_alice, linked).context["desk"].timeline]
        assert [text for text in told if text.startswith("6 more losses within ")]
        assert "6 more losses within" in text_of(as_alice.get("/admin/accounts/transition/"))
        row = Transition.objects.get(trigger="flapping")
        assert "Losses" in text_of(as_alice.get(f"/admin/accounts/transition/{row.pk}/change/"))

    def test_it_stands_first_with_the_account(self, as_alice: Client, portal: Portal, linked: LinkSession) -> None:
        lose(portal, linked, 4)
        assert first(as_alice) == []
        lose(portal, linked, 1)
        [notice] = first(as_alice)
        assert (notice.title, notice.tone) == ("Alice: lost again and again", "wait")
        assert notice.url == f"/admin/accounts/account/{linked.account_id}/change/"
        assert str(notice.text).startswith("Lost 5 times within ")

    def test_while_it_is_lost_that_is_said_too(self, as_alice: Client, portal: Portal, linked: LinkSession) -> None:
        lose(portal, linked, 5)
        portal.post("session_disconnected", linked, reason="NAVIGATION", number=next(numbers))
        said = page(as_alice, linked).context["desk"].diagnosis
        assert said.meaning == "The link is lost and comes back again and again."
        assert said.notes[0].startswith("Lost 6 times")

    def test_after_a_log_out_the_log_out_is_what_is_wrong(
        self, as_alice: Client, portal: Portal, linked: LinkSession
    ) -> None:
        lose(portal, linked, 5)
        portal.post("session_disconnected", linked, reason="LOGOUT")
        said = page(as_alice, linked).context["desk"].diagnosis
        assert "removed" in str(said.meaning)
        assert said.notes[0].startswith("Lost 6 times")

    def test_one_that_gives_no_reason(self, as_alice: Client, portal: Portal, linked: LinkSession) -> None:
        lose(portal, linked, 5, reason="")
        assert page(as_alice, linked).context["desk"].diagnosis.notes[0].endswith("the bridge gives no reason")

    def test_in_indonesian(self, as_alice: Client, portal: Portal, linked: LinkSession) -> None:
        lose(portal, linked, 6)
        as_alice.cookies["django_language"] = "id"
        assert "Tautan berulang kali terputus" in text_of(page(as_alice, linked))
        assert "terputus 4 kali lagi dalam" in text_of(page(as_alice, linked))


class TestRestrictions:
    @pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.FLAPPING}))
    def test_each_kind_has_its_advice_its_words_and_its_end(
        self, as_alice: Client, linked: LinkSession, kind: AccountNotice.Kind
    ) -> None:
        restricted(linked.pk, kind=kind, text="Too many chats", until=LATER)
        said = page(as_alice, linked).context["desk"].diagnosis
        assert str(said.meaning).startswith("The account is linked.")
        assert said.todo != "Nothing to do."
        label = str(kind.label)
        assert said.notes[0] == f"{label[:1].upper()}{label[1:]}, until 2031-05-06 07:08:09 UTC: Too many chats"
        assert page(as_alice, linked).context["desk"].tone == "wait"
        [notice] = first(as_alice)
        assert notice.title == f"Alice: {label}"
        assert str(notice.text).startswith("Until 2031-05-06 07:08:09 UTC: Too many chats. ")

    def test_one_without_an_end(self, as_alice: Client, linked: LinkSession) -> None:
        restricted(linked.pk, kind=Kind.SEND_REFUSED, text="", until=None)
        assert page(as_alice, linked).context["desk"].diagnosis.notes[0].endswith(", without a known end")

    def test_one_that_is_over_is_not_shown(self, as_alice: Client, linked: LinkSession) -> None:
        restricted(linked.pk, kind=Kind.TIME_LOCK, text="x", until=LATER)
        AccountNotice.objects.update(until=timezone.now() - timedelta(seconds=1))
        assert page(as_alice, linked).context["desk"].diagnosis.todo == "Nothing to do."
        assert page(as_alice, linked).context["desk"].tone == "good"
        assert first(as_alice) == []


class TestWhoSeesIt:
    def test_staff_without_the_permission_do_not(
        self, as_bob: Callable[..., Client], linked: LinkSession, workspace: Workspace
    ) -> None:
        restricted(linked.pk, kind=Kind.TIME_LOCK, text="x", until=LATER)
        assert first(as_bob("accounts.view_bridge")) == []

    def test_a_deleted_account_has_none(self, as_alice: Client, linked: LinkSession) -> None:
        restricted(linked.pk, kind=Kind.TIME_LOCK, text="x", until=LATER)
        Account.objects.update(deleted_at=timezone.now())
        assert first(as_alice) == []

    def test_many_cost_no_more_questions(self, as_alice: Client, linked: LinkSession, workspace: Workspace) -> None:
        def queries() -> int:
            with CaptureQueriesContext(connection) as seen:
                as_alice.get("/admin/")
            return len(seen)

        restricted(linked.pk, kind=Kind.TIME_LOCK, text="x", until=LATER)
        queries()
        before = queries()
        for number in range(30):
            other = Account.objects.create(workspace=workspace, phone_number=f"62811000{number:05}")
            AccountNotice.objects.create(account=other, session=linked, kind=Kind.CHAT_CAP, until=LATER)
        assert queries() == before
        assert len(first(as_alice)) == 20


def test_why_the_last_start_was_refused_is_said_until_another_begins(
    as_alice: Client, account: Account, bridge: Bridge
) -> None:
    Bridge.objects.update(last_heard_at=None)
    with pytest.raises(attempts.PairingRefused):
        attempts.start(account.pk, trigger="page")
    address = f"/admin/accounts/account/{account.pk}/change/"
    desk = as_alice.get(address).context["desk"]
    assert desk.diagnosis.notes == ["No bridge could take a start 0 s ago: never heard of."]
    assert desk.timeline[0].reason == "No bridge has been heard of yet. Our support must start one."
    Bridge.objects.update(last_heard_at=timezone.now())
    attempts.start(account.pk, trigger="page")
    assert as_alice.get(address).context["desk"].diagnosis.notes == []
