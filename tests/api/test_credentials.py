"""Who may ask: tokens with scopes, an end and a use; staff with their login, their permissions and a CSRF token."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Bridge, LinkSession, Transition, User, Workspace
from api.models import WorkspaceToken
from tests.api.conftest import Program, assert_refused, permit, program

pytestmark = pytest.mark.django_db
URL = "/api/whatsapp/"


class TestTokens:
    def test_unknown_expired_revoked_and_anothers_prefix_are_the_same_401(self, workspace: Workspace) -> None:
        expired = WorkspaceToken.issue(workspace.pk, expires_in_days=1)
        WorkspaceToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        revoked = WorkspaceToken.issue(workspace.pk)
        WorkspaceToken.objects.latest("pk").revoke()
        tokens = [expired, revoked, expired[:10], "ld_nobody", "", "ü", "x" * 5000]
        answers = [Client().get(URL + "status", headers={"Authorization": f"Bearer {token}"}) for token in tokens]
        for answer in answers:
            assert_refused(answer, 401, "INVALID_TOKEN")
            assert answer["WWW-Authenticate"] == "Bearer"
        assert len({answer.content for answer in answers}) == 1

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic YTpi"}, {"X-API-Key": "alpha-key"}])
    def test_no_token_is_401(self, bridge: Bridge, headers: dict[str, str]) -> None:
        answer = Client().get(URL + "status", headers=headers)
        assert_refused(answer, 401, "NOT_AUTHENTICATED")
        assert answer["WWW-Authenticate"] == "Bearer"

    def test_it_is_good_until_it_expires(self, workspace: Workspace) -> None:
        token = WorkspaceToken.issue(workspace.pk, expires_in_days=1)
        assert Program(token).get("status").status_code == 200
        assert WorkspaceToken.objects.get().expires_at is not None

    @pytest.mark.parametrize(
        ("scopes", "allowed"),
        [("read", {"status", "health"}), ("link", {"pair", "get pair", "generate-qr"}), ("manage", {"reset"})],
    )
    def test_a_scope_opens_its_own_doors(
        self, workspace: Workspace, account: Account, session: LinkSession, scopes: str, allowed: set[str]
    ) -> None:
        asks = program(workspace, scopes)
        answers = {
            "status": asks.get("status"),
            "health": asks.get("health"),
            "get pair": asks.get("pair", account=account.uuid),
            "pair": asks.post("pair", account=str(account.uuid)),
            "generate-qr": asks.post("accounts/generate-qr", workspace_id=workspace.pk),
            "reset": asks.post("reset", account=str(account.uuid)),
        }
        for name in answers.keys() - allowed:
            assert_refused(answers[name], 403, "PERMISSION_DENIED")
        assert {name for name, answer in answers.items() if answer.status_code != 403} == allowed

    def test_last_used_is_written_once_a_minute(
        self, asks: Program, workspace: Workspace, django_assert_num_queries: Any
    ) -> None:
        asks.get("status")
        token = WorkspaceToken.objects.get()
        assert token.last_used_at is not None
        asks.get("status")
        assert WorkspaceToken.objects.get().last_used_at == token.last_used_at
        WorkspaceToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
        asks.get("status")
        later = WorkspaceToken.objects.get().last_used_at
        assert later is not None
        assert later > token.last_used_at

    def test_what_is_refused_is_no_use(self, workspace: Workspace) -> None:
        WorkspaceToken.issue(workspace.pk)
        WorkspaceToken.objects.get().revoke()
        Program("ld_nobody").get("status")
        assert WorkspaceToken.objects.get().last_used_at is None

    def test_the_command_gives_all_scopes_and_no_end(self, workspace: Workspace) -> None:
        call_command("create_token", str(workspace.pk))
        token = WorkspaceToken.objects.get()
        assert (token.scopes, token.expires_at) == ("read link manage", None)

    def test_the_command_gives_what_is_asked_for(self, workspace: Workspace, capsys: Any) -> None:
        call_command("create_token", str(workspace.pk), "--scope=link", "--scope=read", "--expires-days=30")
        token = WorkspaceToken.objects.get()
        assert token.scopes == "read link"
        assert token.expires_at
        assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)

    def test_the_command_refuses_an_end_in_the_past(self, workspace: Workspace) -> None:
        with pytest.raises(CommandError, match="between 1 and 3650"):
            call_command("create_token", str(workspace.pk), "--expires-days=0")


class TestStaff:
    @pytest.fixture
    def browser(self, bob: User) -> Client:
        """Bob's, which sends no CSRF token of itself."""
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(bob)
        return browser

    def post(self, browser: Client, path: str, **body: Any) -> Any:
        """From a page of ours: with the token that it was given."""
        secret = "a" * 32
        browser.cookies["csrftoken"] = secret
        return browser.post(URL + path, body, "application/json", headers={"X-CSRFToken": secret})

    def test_reading_needs_no_csrf_token(self, browser: Client, bob: User, workspace: Workspace) -> None:
        permit(bob, "view_account")
        answer = browser.get(URL + "status", {"workspace_id": workspace.pk})
        assert answer.json()["data"]["tenant"]["workspace_id"] == workspace.pk

    def test_changing_does(self, browser: Client, bob: User, workspace: Workspace, bridge: Bridge) -> None:
        permit(bob, "renew_qr")
        body = {"workspace_id": workspace.pk}
        assert_refused(browser.post(URL + "pair", body, "application/json"), 403, "CSRF_FAILED")
        assert_refused(browser.post(URL + "pair", {"workspace_id": "1"}), 403, "CSRF_FAILED")
        assert not Account.objects.exists()
        assert self.post(browser, "pair", **body).status_code == 201

    def test_the_history_has_the_person(
        self, browser: Client, bob: User, workspace: Workspace, account: Account
    ) -> None:
        permit(bob, "renew_qr", "reset_account")
        self.post(browser, "pair", workspace_id=workspace.pk, account=str(account.uuid))
        self.post(browser, "reset", workspace_id=workspace.pk, account=str(account.uuid))
        assert set(Transition.objects.values_list("actor", flat=True)) == {bob.pk}
        assert LinkSession.objects.get().started_by == bob

    def test_the_workspace_may_stand_in_the_query(
        self, browser: Client, bob: User, workspace: Workspace, bridge: Bridge
    ) -> None:
        permit(bob, "renew_qr")
        assert self.post(browser, f"pair?workspace_id={workspace.pk}").status_code == 201

    def test_it_must_stand_somewhere(self, browser: Client, bob: User) -> None:
        permit(bob, "view_account")
        assert "workspace_id" in assert_refused(browser.get(URL + "status"), 400, "INVALID_FIELD")["message"]

    def test_without_the_permission_it_is_403(
        self, browser: Client, bob: User, workspace: Workspace, account: Account
    ) -> None:
        permit(bob, "view_account")
        body = {"workspace_id": workspace.pk, "account": str(account.uuid)}
        for path in ("pair", "reset"):
            error = assert_refused(self.post(browser, path, **body), 403, "PERMISSION_DENIED")
            assert "permission accounts." in error["message"]

    def test_a_workspace_of_which_one_is_no_member_is_as_none(self, browser: Client, bob: User) -> None:
        permit(bob, "view_account")
        foreign = Workspace.objects.create(name="Toko Mallory")
        answers = [browser.get(URL + "status", {"workspace_id": pk}) for pk in (foreign.pk, 9999)]
        for answer in answers:
            assert_refused(answer, 404, "NOT_FOUND")
        assert answers[0].content == answers[1].content

    def test_a_superuser_is_at_home_everywhere(self, browser: Client, bob: User, bridge: Bridge) -> None:
        User.objects.update(is_superuser=True)
        foreign = Workspace.objects.create(name="Toko Mallory")
        assert self.post(browser, "pair", workspace_id=foreign.pk).status_code == 201

    @pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}])
    def test_who_is_not_staff_is_nobody(self, browser: Client, workspace: Workspace, change: dict[str, bool]) -> None:
        User.objects.update(**change)
        answer = browser.get(URL + "status", {"workspace_id": workspace.pk})
        assert_refused(answer, 401, "NOT_AUTHENTICATED")

    def test_a_wrong_token_beside_a_good_login_is_401(self, browser: Client, workspace: Workspace) -> None:
        answer = browser.get(URL + "status", headers={"Authorization": "Bearer ld_nobody"})
        assert_refused(answer, 401, "INVALID_TOKEN")
