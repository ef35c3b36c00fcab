"""Who gets a code through the API, and that each look is noted; what else is noted of calls that change something."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.access import looks
from accounts.models import Account, AuditEntry, LinkInvitation, LinkSession, User, Workspace
from api.models import WorkspaceToken
from tests.api.conftest import Program, assert_refused, permit, program
from tests.support.audited import entries, the_entry
from tests.support.links import QR
from tests.support.portal import Portal
from tests.support.races import assert_nothing_raised, at_once

pytestmark = pytest.mark.django_db
PAIR = "/api/whatsapp/pair"


@pytest.fixture
def browser(bob: User) -> Client:
    browser = Client()
    browser.force_login(bob)
    return browser


@pytest.fixture
def shown(session: LinkSession, portal: Portal) -> LinkSession:
    """An attempt whose code has come."""
    portal.post("qr_code_generated", session, **QR)
    session.refresh_from_db()
    assert session.qr_svg
    return session


def look(client: Client, account: Account) -> Any:
    query: dict[str, Any] = {"account": str(account.uuid), "workspace_id": account.workspace_id}
    return client.get(PAIR, query)


class TestWho:
    def test_staff_need_the_permission_for_codes(self, browser: Client, bob: User, shown: LinkSession) -> None:
        permit(bob, "view_account")
        error = assert_refused(look(browser, shown.account), 403, "PERMISSION_DENIED")
        assert "accounts.see_codes" in error["message"]
        assert not entries()

        permit(bob, "see_codes")
        assert look(browser, shown.account).json()["data"]["qr_svg"]

    def test_the_permission_for_codes_is_not_enough_without_that_for_accounts(
        self, browser: Client, bob: User, shown: LinkSession
    ) -> None:
        permit(bob, "see_codes")
        assert_refused(look(browser, shown.account), 403, "PERMISSION_DENIED")

    def test_an_account_of_another_workspace_is_not_there(self, browser: Client, bob: User, shown: LinkSession) -> None:
        permit(bob, "view_account", "see_codes")
        bob.workspaces.clear()
        assert_refused(look(browser, shown.account), 404, "NOT_FOUND")

    def test_a_program_needs_the_scope_link(self, workspace: Workspace, shown: LinkSession) -> None:
        uuid = shown.account.uuid
        error = assert_refused(program(workspace, "read manage").get("pair", account=uuid), 403, "PERMISSION_DENIED")
        assert "'link'" in error["message"]
        assert program(workspace, "link").get("pair", account=uuid).status_code == 200


class TestEachLook:
    def test_it_is_noted_once_for_a_person_and_an_attempt(self, browser: Client, bob: User, shown: LinkSession) -> None:
        permit(bob, "view_account", "see_codes")
        for _ in range(3):
            assert look(browser, shown.account).status_code == 200

        entry = the_entry()
        assert (entry.action, entry.actor, entry.object_id) == ("account.saw_code", bob, str(shown.account_id))
        assert entry.after == {"session": shown.session_id}
        assert entry.workspace_id == shown.account.workspace_id
        assert entry.address

    def test_a_look_after_ten_minutes_is_another_one(self, asks: Program, shown: LinkSession) -> None:
        before = timezone.now() - looks.SAME_LOOK - timedelta(seconds=1)
        token = WorkspaceToken.objects.get()
        AuditEntry.objects.create(
            action=looks.SAW_CODE, who=f"token {token.prefix}", at=before, model="accounts.account",
            object_id=str(shown.account_id), after={"session": shown.session_id},
        )  # fmt: skip
        asks.get("pair", account=shown.account.uuid)

        assert [entry.who for entry in entries()] == [f"token {token.prefix}"] * 2
        assert entries()[-1].actor is None

    def test_each_program_and_each_attempt_has_its_own(self, workspace: Workspace, shown: LinkSession) -> None:
        for asks in (program(workspace), program(workspace)):
            asks.get("pair", account=shown.account.uuid)
        assert len({entry.who for entry in entries()}) == 2

        looks.saw_code(shown.account, session_id="another", actor=None, who=entries()[0].who)
        assert len(entries()) == 3

    def test_nothing_is_noted_where_no_code_was_shown(self, asks: Program, session: LinkSession) -> None:
        answer = asks.get("pair", account=session.account.uuid).json()["data"]

        assert {answer[name] for name in ("qr_svg", "pairing_code", "qr_png_url")} == {""}
        assert not entries()


@pytest.mark.django_db(transaction=True)
def test_two_looks_at_once_are_one(session: LinkSession) -> None:
    account = session.account
    look = partial(looks.saw_code, account, session_id=session.session_id, actor=None, who="token x")
    assert_nothing_raised(at_once([look] * 4))

    assert len(entries()) == 1


class TestWhatChanges:
    def test_a_pairing_of_a_program_is_noted(self, asks: Program, workspace: Workspace, bridge: Any) -> None:
        made = asks.post("pair", phone_number="6281116801641").json()["data"]

        entry = the_entry()
        token = WorkspaceToken.objects.get()
        assert (entry.action, entry.who, entry.actor) == ("account.pair", f"token {token.prefix}", None)
        assert entry.before == {}
        assert (entry.after["phone_number"], entry.after["status"]) == ("6281116801641", "qr_scanning")
        assert entry.object_id == str(Account.objects.get(uuid=made["account"]).pk)
        assert "/link/" not in str(entry.after)

    def test_a_pairing_that_is_refused_changes_and_notes_nothing(self, asks: Program, workspace: Workspace) -> None:
        assert asks.post("pair", phone_number="6281116801641").status_code == 503
        assert not entries()

    def test_a_reset_is_noted_for_each_account(self, asks: Program, session: LinkSession) -> None:
        asks.post("reset")

        entry = the_entry()
        assert (entry.action, entry.object_id) == ("account.force_reset", str(session.account_id))
        assert (entry.before["status"], entry.after["status"]) == ("qr_scanning", "inactive")

    def test_staff_are_noted_by_name(self, browser: Client, bob: User, account: Account) -> None:
        permit(bob, "view_account", "renew_qr")
        body = {"account": str(account.uuid), "workspace_id": account.workspace_id}
        assert browser.post(PAIR, body, "application/json").status_code == 201

        assert (the_entry().actor, the_entry().who) == (bob, "bob")


class TestTheAddressOfTheLinkingPage:
    """It opens a page with the code."""

    def pair(self, browser: Client, account: Account) -> dict[str, Any]:
        body = {"account": str(account.uuid), "workspace_id": account.workspace_id}
        answer: dict[str, Any] = browser.post(PAIR, body, "application/json").json()["data"]
        return answer

    @pytest.mark.parametrize("half", ["see_codes", "add_linkinvitation"])
    def test_staff_who_may_not_invite_do_not_get_it(
        self, browser: Client, bob: User, account: Account, half: str
    ) -> None:
        permit(bob, "view_account", "renew_qr", half)

        assert self.pair(browser, account)["link_url"] == ""
        assert not LinkInvitation.objects.exists()

    def test_staff_who_may_invite_get_it(self, browser: Client, bob: User, account: Account) -> None:
        permit(bob, "view_account", "renew_qr", "add_linkinvitation", "see_codes")

        assert "/link/" in self.pair(browser, account)["link_url"]

    def test_a_program_gets_it(self, asks: Program, account: Account) -> None:
        assert "/link/" in asks.post("pair", account=str(account.uuid)).json()["data"]["link_url"]
