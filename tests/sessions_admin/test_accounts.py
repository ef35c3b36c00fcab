"""The list and the form of accounts."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, LinkSession, User, Workspace
from accounts.pairing import attempts

LIST = "/admin/accounts/account/"


def page(account: Account) -> str:
    return reverse("admin:accounts_account_change", args=[account.pk])


def labels(response: Any) -> set[str]:
    return {account.label for account in response.context["cl"].result_list}


@pytest.mark.parametrize(
    "term", ["+62 811-1680-1641", "6281116801641", "0811 1680 1641", "1641", "budi", "Toko Alice budi"]
)
def test_an_account_is_found_by_what_people_know_of_it(
    as_alice: Client, linked: Account, account: Account, term: str
) -> None:
    assert labels(as_alice.get(LIST, {"q": term})) == {"Toko Budi"}


def test_an_account_is_found_by_session_id_and_uuid(as_alice: Client, linked: Account, session: LinkSession) -> None:
    account = session.account

    assert labels(as_alice.get(LIST, {"q": session.session_id})) == {account.label}
    assert labels(as_alice.get(LIST, {"q": str(linked.uuid)})) == {"Toko Budi"}
    assert labels(as_alice.get(LIST, {"q": linked.uuid.hex})) == {"Toko Budi"}


def test_deleted_accounts_show_on_request_only(as_alice: Client, linked: Account) -> None:
    Account.objects.filter(pk=linked.pk).update(deleted_at=timezone.now())

    assert labels(as_alice.get(LIST)) == set()
    assert labels(as_alice.get(LIST, {"deleted": "yes"})) == {"Toko Budi"}
    assert labels(as_alice.get(LIST, {"deleted": "all"})) == {"Toko Budi"}


def test_the_list_shows_status_phone_and_age(as_alice: Client, linked: Account) -> None:
    html = as_alice.get(LIST).content.decode()

    assert "+62 811-1680-1641" in html
    assert '<span class="ld-dot ld-muted">inactive</span>' in html
    assert f'title="{timezone.now():%Y-%m-%d}' in html


def test_the_list_costs_the_same_for_60_accounts_as_for_one(
    as_alice: Client, workspace: Workspace, bridge: Bridge
) -> None:
    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert as_alice.get(LIST, {"all": ""}).status_code == 200
        return len(queries)

    def add(count: int) -> None:
        for _ in range(count):
            account = Account.objects.create(workspace=workspace)
            session = LinkSession.objects.create(session_id=f"s{account.pk}", account=account, bridge=bridge)
            Account.objects.filter(pk=account.pk).update(current_session=session)

    add(1)
    cost()  # content types are cached
    for_one = cost()
    add(59)

    assert cost() == for_one <= 12


class TestTheForm:
    def data(self, workspace: Workspace, phone: str) -> dict[str, Any]:
        return {
            "workspace": workspace.pk,
            "label": "New",
            "phone_number": phone,
            "provider_type": "webjs",
            "is_active": "on",
        }

    def test_a_typed_phone_number_is_stored_as_digits(self, as_alice: Client, workspace: Workspace) -> None:
        response = as_alice.post(f"{LIST}add/", self.data(workspace, "+62 811-1680-1641"))

        assert response.status_code == 302
        assert Account.objects.get().phone_number == "6281116801641"

    def test_no_phone_number_is_unknown(self, as_alice: Client, workspace: Workspace) -> None:
        for _ in range(2):
            assert as_alice.post(f"{LIST}add/", self.data(workspace, "")).status_code == 302

        assert list(Account.objects.values_list("phone_number", flat=True)) == [None, None]

    @pytest.mark.parametrize("phone", ["0811", "call me", "+62 811 1680 1641 9999 9999"])
    def test_what_is_no_phone_number_is_said(self, as_alice: Client, workspace: Workspace, phone: str) -> None:
        response = as_alice.post(f"{LIST}add/", self.data(workspace, phone))

        assert response.status_code == 200
        assert "phone_number" in response.context["adminform"].form.errors

    def test_a_phone_number_that_is_taken_is_a_form_error(
        self, as_alice: Client, workspace: Workspace, linked: Account
    ) -> None:
        response = as_alice.post(f"{LIST}add/", self.data(workspace, "+62 811 1680 1641"))

        assert response.status_code == 200
        assert "Another account of this workspace already has this phone number." in response.content.decode()
        assert Account.objects.count() == 1

    def test_also_when_an_account_is_changed(self, as_alice: Client, account: Account, linked: Account) -> None:
        response = as_alice.post(page(account), self.data(account.workspace, "62 811 1680 1641"))

        assert response.status_code == 200
        assert "Another account of this workspace already has this phone number." in response.content.decode()

    def test_a_deleted_account_gives_its_phone_number_free(
        self, as_alice: Client, account: Account, linked: Account
    ) -> None:
        Account.objects.filter(pk=linked.pk).update(deleted_at=timezone.now())

        assert as_alice.post(page(account), self.data(account.workspace, "6281116801641")).status_code == 302

    def test_a_change_moves_the_version_and_nothing_else(self, as_alice: Client, linked: Account) -> None:
        response = as_alice.post(
            page(linked), self.data(linked.workspace, "+62 811-1680-9999") | {"status": "connected"}
        )

        linked.refresh_from_db()
        assert response.status_code == 302
        assert (linked.label, linked.phone_number, linked.version, linked.status) == (
            "New",
            "6281116809999",
            2,
            Status.INACTIVE,
        )

    def test_the_workspace_of_an_account_stays(self, as_alice: Client, linked: Account) -> None:
        other = Workspace.objects.create(name="Other")

        as_alice.post(page(linked), self.data(other, "6281116801641"))

        linked.refresh_from_db()
        assert linked.workspace.name == "Toko Alice"

    def test_the_number_of_a_linked_account_is_whatsapps(self, as_alice: Client, linked: Account) -> None:
        Account.objects.filter(pk=linked.pk).update(status=Status.CONNECTED)

        as_alice.post(page(linked), self.data(linked.workspace, "6281116809999"))

        linked.refresh_from_db()
        assert (linked.label, linked.phone_number) == ("New", "6281116801641")

    def test_a_number_that_cannot_be_typed_is_grouped(
        self, as_alice: Client, as_bob: Callable[..., Client], linked: Account
    ) -> None:
        def field(client: Client) -> str:
            return client.get(page(linked)).content.decode().split("<form", 1)[1]

        assert 'value="+62 811-1680-1641"' in field(as_alice)
        assert "6281116801641" not in field(as_bob("accounts.view_account"))

        Account.objects.filter(pk=linked.pk).update(status=Status.CONNECTED)
        assert "+62 811-1680-1641" in field(as_alice)
        assert "6281116801641" not in field(as_alice)
        assert 'name="phone_number"' not in field(as_alice)

    def test_nobody_deletes_an_account(self, as_alice: Client, linked: Account) -> None:
        assert as_alice.post(f"{LIST}{linked.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_page_says_what_is_wrong_and_what_to_do(as_alice: Client, session: LinkSession) -> None:
    LinkSession.objects.filter(pk=session.pk).update(ended_at=timezone.now(), end_reason=EndReason.NEVER_READY)
    Account.objects.filter(pk=session.account_id).update(status=Status.FAILED)

    html = as_alice.get(page(session.account)).content.decode()

    assert "The phone scanned the code, but WhatsApp never finished linking." in html
    assert "remove the devices you do not know, then get a new code." in html
    assert session.session_id in html


def test_the_timeline_names_who_and_why(as_alice: Client, alice: User, session: LinkSession) -> None:
    attempts.force_reset(session.account_id, actor=alice, reason="The shop has a new phone")

    html = as_alice.get(page(session.account)).content.decode()

    assert "by alice" in html
    assert "The shop has a new phone" in html


def test_whoever_may_only_view_gets_a_page_without_a_form(as_bob: Callable[..., Client], linked: Account) -> None:
    bob = as_bob("accounts.view_account")

    assert bob.get(page(linked)).status_code == 200
    assert bob.post(page(linked), {"label": "Bob's"}).status_code == 403
    assert "/force_reset/" not in bob.get(page(linked)).content.decode()  # the button is grey (test_offers.py)


def test_every_link_of_the_page_leads_somewhere(as_alice: Client, session: LinkSession) -> None:
    links = as_alice.get(page(session.account)).context["desk"].links

    assert len(links) == 8
    for link in links:
        assert as_alice.get(link.url).status_code == 200


def test_the_number_that_linked_instead_is_shown(as_alice: Client, session: LinkSession) -> None:
    LinkSession.objects.filter(pk=session.pk).update(
        ended_at=timezone.now(), end_reason=EndReason.WRONG_NUMBER, reported_phone="6281116801641"
    )
    Account.objects.filter(pk=session.account_id).update(status=Status.FAILED)

    html = as_alice.get(page(session.account)).content.decode()

    assert "Another phone was linked than the one expected." in html
    assert "+62 811-1680-1641" in html


def test_a_merged_account_names_the_one_it_lives_on_as(as_alice: Client, account: Account, linked: Account) -> None:
    Account.objects.filter(pk=account.pk).update(deleted_at=timezone.now(), merged_into=linked)

    html = as_alice.get(page(account)).content.decode()

    assert "This account was deleted." in html
    assert "Its phone has an account already: Toko Budi." in html
