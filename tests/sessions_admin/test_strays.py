"""Sessions that a bridge runs and the desk does not know: adopt them, stop them, many at once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession, StraySession, User, Workspace

LIST = "/admin/accounts/straysession/"
PHONE = "6281116801642"


@pytest.fixture
def stray(bridge: Bridge, workspace: Workspace) -> StraySession:
    return make(bridge, "webjs_1_1_stray", phone_number=PHONE, workspace_said=str(workspace.pk))


def make(bridge: Bridge, session_id: str, **values: Any) -> StraySession:
    return StraySession.objects.create(bridge=bridge, session_id=session_id, **{"status": "connected"} | values)


def press(client: Client, stray: StraySession, action: str, **data: object) -> Any:
    return client.post(f"{LIST}{stray.pk}/{action}/", {"_form_submitted": "on"} | data)


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def test_one_is_adopted_by_the_account_of_its_phone(
    as_alice: Client, alice: User, stray: StraySession, workspace: Workspace
) -> None:
    account = Account.objects.create(workspace=workspace, phone_number=PHONE)

    response = press(as_alice, stray, "adopt", workspace=workspace.pk)

    account.refresh_from_db()
    stray.refresh_from_db()
    session = LinkSession.objects.get(session_id=stray.session_id)
    assert (account.status, session.account, session.started_by) == (Status.CONNECTED, account, alice)
    assert stray.outcome == StraySession.Outcome.ADOPTED
    assert response["Location"] == f"/admin/accounts/account/{account.pk}/change/"


def test_the_dialog_is_filled_in_with_what_the_bridge_says(
    as_alice: Client, stray: StraySession, workspace: Workspace
) -> None:
    Workspace.objects.create(name="Another")

    assert as_alice.get(f"{LIST}{stray.pk}/adopt/").context["form"]["workspace"].initial == workspace.pk
    StraySession.objects.update(workspace_said="99")
    assert as_alice.get(f"{LIST}{stray.pk}/adopt/").context["form"]["workspace"].initial is None


def test_only_workspaces_that_the_bridge_serves_can_be_chosen(as_alice: Client, stray: StraySession) -> None:
    other = Workspace.objects.create(name="Another")
    stray.bridge.workspaces.add(other)

    choices = as_alice.get(f"{LIST}{stray.pk}/adopt/").context["form"].fields["workspace"].queryset

    assert list(choices) == [other]


def test_one_that_is_no_link_says_why_not(as_alice: Client, stray: StraySession, workspace: Workspace) -> None:
    StraySession.objects.update(status="qr_scanning")

    assert "It is no link" in said(press(as_alice, stray, "adopt", workspace=workspace.pk))
    assert not LinkSession.objects.exists()


def test_one_is_stopped(as_alice: Client, stray: StraySession) -> None:
    assert "The bridge is told to stop it." in said(press(as_alice, stray, "stop"))

    stray.refresh_from_db()
    assert stray.outcome == StraySession.Outcome.STOPPED
    assert "It is settled already" in said(press(as_alice, stray, "stop"))


def test_the_list_shows_what_waits_and_says_what_it_is_for(as_alice: Client, stray: StraySession) -> None:
    StraySession.objects.create(bridge=stray.bridge, session_id="gone", outcome="gone", settled_at=timezone.now())

    response = as_alice.get(LIST)

    assert list(response.context["cl"].result_list) == [stray]
    assert as_alice.get(LIST, {"settled": "all"}).context["cl"].result_list.count() == 2
    StraySession.objects.all().delete()
    assert "adopt those that are links, stop the others" in as_alice.get(LIST).content.decode()


class TestManyAtOnce:
    def ask(self, client: Client, strays: list[StraySession], **more: object) -> Any:
        chosen = {"action": "adopt_selected", "_selected_action": [stray.pk for stray in strays]}
        return client.post(LIST, chosen | more)

    def test_are_asked_about_first(self, as_alice: Client, stray: StraySession, workspace: Workspace) -> None:
        response = self.ask(as_alice, [stray])

        assert [row["field"].initial for row in response.context["rows"]] == [workspace.pk]
        assert not LinkSession.objects.exists()

    def test_each_is_told_what_became_of_it(
        self, as_alice: Client, alice: User, bridge: Bridge, stray: StraySession, workspace: Workspace
    ) -> None:
        elsewhere = Workspace.objects.create(name="Another")
        second = make(bridge, "second", phone_number="6281116801643")
        no_phone = make(bridge, "third")
        left = make(bridge, "fourth", phone_number="6281116801644")
        chosen = {
            str(stray.pk): workspace.pk, str(second.pk): elsewhere.pk, str(no_phone.pk): elsewhere.pk, str(left.pk): "",
        }  # fmt: skip

        response = self.ask(as_alice, [stray, second, no_phone, left], confirmed="yes", **chosen)

        results = {row["stray"].session_id: row["result"] for row in response.context["rows"]}
        assert "adopted" in results[stray.session_id]
        assert "adopted" in results["second"]
        assert "The bridge does not say its phone number." in results["third"]
        assert "left as it is" in results["fourth"]
        assert list(Account.objects.order_by("phone_number").values_list("workspace", "phone_number", "status")) == [
            (workspace.pk, PHONE, "connected"),
            (elsewhere.pk, "6281116801643", "connected"),
        ]

    def test_those_that_somebody_else_settled_meanwhile_are_told_too(
        self, as_alice: Client, bridge: Bridge, stray: StraySession, workspace: Workspace
    ) -> None:
        strays = [stray, make(bridge, "second", phone_number="6281116801643")]
        chosen = {str(row.pk): workspace.pk for row in strays}
        StraySession.objects.filter(pk=stray.pk).update(settled_at=timezone.now(), outcome="stopped")

        first = self.ask(as_alice, strays, confirmed="yes", **chosen)
        again = self.ask(as_alice, strays, confirmed="yes", **chosen)

        told, repeated = (
            {row["stray"].session_id: row["result"] for row in response.context["rows"]} for response in (first, again)
        )
        assert "It is settled already: stopped." in told[stray.session_id]
        assert ">adopted<" in told["second"]
        assert "It is settled already: adopted." in repeated["second"]
        assert LinkSession.objects.count() == 1

    @pytest.mark.parametrize("sent", ["abc", "9" * 30, "1.5", ""])
    @pytest.mark.parametrize("more", [{}, {"confirmed": "yes"}])
    def test_what_is_no_row_is_refused(
        self, as_alice: Client, stray: StraySession, sent: str, more: dict[str, str]
    ) -> None:
        chosen = {"action": "adopt_selected", "_selected_action": [stray.pk, sent]}

        assert as_alice.post(LIST, chosen | more).status_code == 400

    def test_a_workspace_that_is_none_is_a_form_error(self, as_alice: Client, stray: StraySession) -> None:
        response = self.ask(as_alice, [stray], confirmed="yes", **{str(stray.pk): 999})

        assert "Select a valid choice" in response.content.decode()
        assert not LinkSession.objects.exists()

    def test_only_with_permission(
        self, as_bob: Callable[..., Client], stray: StraySession, workspace: Workspace
    ) -> None:
        bob = as_bob("accounts.view_straysession")

        self.ask(bob, [stray], confirmed="yes", **{str(stray.pk): workspace.pk})

        assert "adopt_selected" not in bob.get(LIST).content.decode()
        assert not LinkSession.objects.exists()

    def test_those_beyond_a_page_are_counted_before_and_after(
        self, as_alice: Client, bridge: Bridge, stray: StraySession, workspace: Workspace
    ) -> None:
        strays = [stray, *[make(bridge, f"s{number}", phone_number=f"62811000{number:04}") for number in range(51)]]
        words = "2 other sessions wait in the list. At most 50 are adopted at once."

        first = self.ask(as_alice, strays)
        chosen = [row["stray"] for row in first.context["rows"]]
        last = self.ask(as_alice, chosen, confirmed="yes", **{str(row.pk): workspace.pk for row in chosen})

        assert words in first.content.decode()
        assert words in last.content.decode()
        assert LinkSession.objects.count() == 50

    def test_of_all_that_wait_nothing_more_is_said(self, as_alice: Client, stray: StraySession) -> None:
        assert self.ask(as_alice, [stray]).context["more"] == ""
