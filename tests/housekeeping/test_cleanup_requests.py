"""What may be asked of a cleanup, and by whom: a bridge, or a program with a token."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import Account, Bridge, LinkSession, Workspace
from api.models import WorkspaceToken
from tests.support.cleaning import ALL, HOUR, ask, is_deleted, lapsed
from tests.support.portal import Portal, make_bridge


class TestWhatMayBeAsked:
    @pytest.mark.parametrize("status", ["connected", "authenticated", "inactive", "action_required", "", "CONNECTED"])
    def test_statuses_that_are_not_cleaned_up(self, account: Account, status: str) -> None:
        body = {"workspace_id": account.workspace_id, "cleanup_statuses": ["failed", status]}
        answer = ask("cleanup", body)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] in {"STATUS_NOT_CLEANABLE", "INVALID_FIELD"}
        if status:
            assert answer.json()["error"]["code"] == "STATUS_NOT_CLEANABLE"

    @pytest.mark.parametrize(
        "change",
        [
            {"workspace_id": None},
            {"workspace_id": 0},
            {"workspace_id": 2**63 - 1 + 1},
            {"workspace_id": True},
            {"cleanup_statuses": []},
            {"cleanup_statuses": "failed"},
            {"cleanup_statuses": None},
            {"cleanup_statuses": [["failed"]]},
            {"cleanup_statuses": ["failed"] * 100},
            {"phone_number": "12"},
            {"phone_number": ["6281200000009"]},
        ],
    )
    def test_what_is_out_of_range(self, account: Account, change: dict[str, Any]) -> None:
        body = {"workspace_id": account.workspace_id, "cleanup_statuses": ["failed"]} | change
        assert ask("cleanup", body).status_code == 400

    @pytest.mark.parametrize(
        "body",
        [
            {"stale_threshold_minutes": 4},
            {"stale_threshold_minutes": 1441},
            {"stale_threshold_minutes": "x"},
            {"stale_threshold_minutes": 5.5},
            {"disconnect_threshold_hours": 0},
            {"disconnect_threshold_hours": 169},
            {"disconnect_threshold_hours": None},
        ],
    )
    def test_thresholds_that_are_out_of_range(self, bridge: Bridge, body: dict[str, Any]) -> None:
        answer = ask("cleanup-stale", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_FIELD")

    def test_a_workspace_that_the_bridge_does_not_serve_is_none(self, account: Account, bridge: Bridge) -> None:
        bridge.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        body = {"workspace_id": account.workspace_id, "cleanup_statuses": ["failed"]}
        foreign, none = ask("cleanup", body), ask("cleanup", body | {"workspace_id": 10**9})
        assert foreign.status_code == none.status_code == 404
        assert foreign.json() == none.json()

    def test_a_workspace_that_is_none_is_404_also_for_a_bridge_that_serves_all(self, bridge: Bridge) -> None:
        assert ask("cleanup", {"workspace_id": 10**9, "cleanup_statuses": ["failed"]}).status_code == 404

    def test_another_bridge_cleans_up_nothing_of_ours(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        make_bridge("beta")
        lapsed(portal, session, ago=HOUR)
        body = {"workspace_id": account.workspace_id, "cleanup_statuses": ALL}
        assert ask("cleanup", body, secret="beta").json()["cleaned_count"] == 0
        assert ask("cleanup-stale", {}, secret="beta").json()["cleaned_count"] == 0
        assert not is_deleted(account)


class TestWithAToken:
    def ask(self, path: str, body: dict[str, Any], token: str) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return Client().post(f"/api/whatsapp/accounts/{path}", body, "application/json", headers=headers)

    @pytest.mark.parametrize("path", ["cleanup", "cleanup-stale"])
    def test_it_cleans_up_its_own_workspace(
        self, portal: Portal, account: Account, session: LinkSession, path: str
    ) -> None:
        lapsed(portal, session, ago=HOUR)
        other = Workspace.objects.create(name="Toko Bob")
        asked = {"cleanup_statuses": ALL, "workspace_id": other.pk}
        assert self.ask(path, asked, WorkspaceToken.issue(other.pk)).json()["cleaned_count"] == 0
        asked["workspace_id"] = account.workspace_id
        reader = WorkspaceToken.issue(account.workspace_id, scopes="read link")
        assert self.ask(path, asked, reader).status_code == 403
        assert not is_deleted(account)
        assert self.ask(path, asked, WorkspaceToken.issue(account.workspace_id)).json()["cleaned_count"] == 1
        assert is_deleted(account)

    def test_of_another_workspace_as_of_none(self, account: Account) -> None:
        token = WorkspaceToken.issue(Workspace.objects.create(name="Toko Bob").pk)
        body = {"workspace_id": account.workspace_id, "cleanup_statuses": ALL}
        foreign, none = self.ask("cleanup", body, token), self.ask("cleanup", body | {"workspace_id": 10**9}, token)
        assert foreign.status_code == none.status_code == 404
        assert foreign.json() == none.json()

    @pytest.mark.parametrize("token", ["ld_unknown", "undefined", ""])
    def test_of_nobody(self, db: None, token: str) -> None:
        assert self.ask("cleanup-stale", {}, token).status_code == 401

    def test_it_opens_nothing_else_of_the_bridges(self, account: Account) -> None:
        headers = {"Authorization": f"Bearer {WorkspaceToken.issue(account.workspace_id)}"}
        for path in ("accounts/active", "accounts-for-cleanup", "cleanup-stats"):
            assert Client().get(f"/api/whatsapp/{path}", headers=headers).status_code == 401
