"""Numbers in the admin: found in any spelling, typed as people write them, decided by staff."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts import phones
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession, StraySession, Workspace
from tests.sessions_admin.forms import act, said
from tests.support.links import READY, link
from tests.support.portal import PHONE, Portal

pytestmark = pytest.mark.django_db

NOBODYS = "123456789012345"
CHANGED = "6281299999999"


def found(client: Client, model: str, search: str) -> list[object]:
    return list(client.get(f"/admin/accounts/{model}/", {"q": search}).context["cl"].queryset)


class TestTheSearch:
    @pytest.mark.parametrize(
        "written",
        [
            "5585987650001",
            "558587650001",
            "+55 85 98765-0001",
            "(85) 98765-0001",
            "(85) 8765-0001",
            "98765 0001",
            "650001",
        ],
    )
    @pytest.mark.parametrize("kept", ["5585987650001", "558587650001"])
    def test_finds_an_account_by_either_form(
        self, as_alice: Client, workspace: Workspace, written: str, kept: str
    ) -> None:
        Workspace.objects.update(country="BR")
        account = Account.objects.create(workspace=workspace, phone_number=kept)
        Account.objects.create(workspace=workspace, phone_number=PHONE)
        assert found(as_alice, "account", written) == [account]

    def test_finds_twins_and_new_numbers(self, as_alice: Client, workspace: Workspace) -> None:
        holder = Account.objects.create(workspace=workspace, phone_number="5585987650001")
        twin = Account.objects.create(workspace=workspace)
        Account.objects.filter(pk=twin.pk).update(phone_number="558587650001", twin_of=holder)
        changed = Account.objects.create(
            workspace=workspace, phone_number=PHONE, new_phone="5215587650004", new_phone_key="525587650004"
        )
        assert set(found(as_alice, "account", "5585987650001")) == {holder, twin}
        assert found(as_alice, "account", "5215587650004") == [changed]

    def test_finds_unknown_sessions_and_link_sessions_too(
        self, as_alice: Client, bridge: Bridge, session: LinkSession
    ) -> None:
        stray = StraySession.objects.create(
            bridge=bridge, session_id="x", phone_number="5215587650004", phone_key="525587650004"
        )
        Account.objects.update(phone_number="5215587650004")
        assert found(as_alice, "straysession", "525587650004") == [stray]
        assert found(as_alice, "linksession", "+52 55 8765 0004") == [session]


class TestTheForms:
    def test_a_local_spelling_is_read_by_the_workspaces_country(self, as_alice: Client, workspace: Workspace) -> None:
        Workspace.objects.update(country="ID")
        values = {
            "workspace": workspace.pk,
            "label": "Budi",
            "phone_number": "0812 3456 7890",
            "provider_type": "webjs",
        }
        as_alice.post("/admin/accounts/account/add/", values)
        assert Account.objects.get().phone_number == "6281234567890"

    def test_a_taken_number_in_another_form_is_a_form_error(self, as_alice: Client, workspace: Workspace) -> None:
        Account.objects.create(workspace=workspace, phone_number="558587650001")
        values = {"workspace": workspace.pk, "phone_number": "5585987650001", "provider_type": "webjs"}
        answer = as_alice.post("/admin/accounts/account/add/", values)
        assert "already has this phone number" in answer.content.decode()
        assert Account.objects.count() == 1

    def test_the_country_is_chosen_by_its_name(self, as_alice: Client, workspace: Workspace) -> None:
        page = f"/admin/accounts/workspace/{workspace.pk}/change/"
        assert "Brazil (+55)" in as_alice.get(page).content.decode()
        as_alice.cookies["django_language"] = "id"
        assert "Brasil (+55)" in as_alice.get(page).content.decode()
        as_alice.post(page, {"name": "Toko Alice", "country": "ID"})
        workspace.refresh_from_db()
        assert workspace.country == "ID"

    def test_a_number_that_staff_accepted_survives_a_change_of_the_label(
        self, as_alice: Client, account: Account
    ) -> None:
        Account.objects.update(phone_number=NOBODYS)
        shown = phones.group(NOBODYS)
        values = {"workspace": account.workspace_id, "label": "Budi", "phone_number": shown, "provider_type": "webjs"}
        as_alice.post(f"/admin/accounts/account/{account.pk}/change/", values)
        account.refresh_from_db()
        assert (account.label, account.phone_number) == ("Budi", NOBODYS)


class TestTheDecisions:
    def test_are_offered_only_while_they_are_asked(self, as_alice: Client, account: Account) -> None:
        page = as_alice.get(f"/admin/accounts/account/{account.pk}/change/").content.decode()
        assert all(name not in page for name in ("accept_number", "take_new_number", "merge_twin"))
        assert "number" in said(act(as_alice, account, "accept_number", _form_submitted="on"))

    def test_an_unclear_number_is_shown_and_accepted(
        self, as_alice: Client, portal: Portal, session: LinkSession
    ) -> None:
        link(portal, session, phone_number=NOBODYS)
        page = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").content.decode()
        assert "accept_number" in page
        assert "no phone number of any country" in page
        assert "waits for a decision about its number" in as_alice.get("/admin/").content.decode()
        assert found_waiting(as_alice) == [session.account]
        assert said(act(as_alice, session.account, "accept_number", _form_submitted="on")) == "The number was accepted."
        session.account.refresh_from_db()
        assert (session.account.status, session.account.phone_number) == (Status.CONNECTED, NOBODYS)
        assert found_waiting(as_alice) == []

    def test_a_changed_number_is_shown_and_taken(self, as_alice: Client, portal: Portal, session: LinkSession) -> None:
        link(portal, session)
        portal.post("session_ready", session, **READY | {"phone_number": CHANGED})
        page = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").content.decode()
        assert "+62 812-9999-9999" in page
        assert (
            said(act(as_alice, session.account, "take_new_number", _form_submitted="on"))
            == "The account has the new number now."
        )
        session.account.refresh_from_db()
        assert session.account.phone_number == CHANGED

    def test_twins_are_shown_on_both_pages_and_merged(
        self, as_alice: Client, account: Account, workspace: Workspace
    ) -> None:
        Account.objects.filter(pk=account.pk).update(phone_number="5585987650001")
        twin = Account.objects.create(workspace=workspace, label="Second")
        Account.objects.filter(pk=twin.pk).update(phone_number="558587650001", twin_of=account)
        for each in (account, twin):
            assert "has the same phone" in as_alice.get(f"/admin/accounts/account/{each.pk}/change/").content.decode()
        assert said(act(as_alice, twin, "merge_twin", _form_submitted="on")) == "The two accounts are one now."
        twin.refresh_from_db()
        assert twin.merged_into == account

    def test_need_the_permission(self, as_bob: Callable[..., Client], portal: Portal, session: LinkSession) -> None:
        link(portal, session, phone_number=NOBODYS)
        assert (
            act(as_bob("accounts.view_account"), session.account, "accept_number", _form_submitted="on").status_code
            == 403
        )


def found_waiting(client: Client) -> list[object]:
    return list(client.get("/admin/accounts/account/", {"number": "waits"}).context["cl"].queryset)
