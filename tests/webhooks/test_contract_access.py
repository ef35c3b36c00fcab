"""Who may ask what docs/bridge-contract.md lists: each bridge for its own, with one of three credentials."""

from typing import Any

import pytest
from django.test import Client

from accounts.lifecycle import EndReason, Status
from accounts.models import Bridge, LinkSession, Transition, Workspace
from accounts.pairing import attempts
from accounts.pairing.attempts import May
from tests.support.links import linked, long_over
from tests.support.portal import PHONE, make_bridge
from tests.support.recorded import NAMES, send
from tests.support.signing import signed_headers

__all__ = ["linked"]


class TestStatusOfASession:
    """Contract 5.1: GET accounts/{session_id}/status."""

    def get(self, session: LinkSession, workspace_id: Any) -> Any:
        path = f"/api/whatsapp/accounts/{session.session_id}/status?workspace_id={workspace_id}"
        return Client().get(path, headers={"Authorization": "Bearer alpha-key"})

    def test_of_ones_own(self, linked: LinkSession) -> None:
        answer = self.get(linked, linked.account.workspace_id)
        row = answer.json()
        assert row.keys() == {
            "session_id",
            "status",
            "phone_number",
            "is_active",
            "last_activity_at",
            "health_score",
        }
        assert (row["status"], row["phone_number"], row["health_score"]) == ("connected", PHONE, 100)

    @pytest.mark.parametrize("workspace_id", [999, "x", "", "1 OR 1=1"])
    def test_of_another_workspace(self, linked: LinkSession, workspace_id: Any) -> None:
        answer = self.get(linked, workspace_id)
        assert answer.status_code == 404
        assert "error" in answer.json()


ABOUT_A_SESSION = ["mark_disconnected", "account_status", "note_health_by_session", "account_by_session"]
WITH_A_KEY = [*ABOUT_A_SESSION, "accounts_active", "accounts_for_cleanup", "cleanup_logs", "cleanup_stats"]


class TestWhoMayAsk:
    @pytest.fixture
    def beta(self, db: None) -> Bridge:
        return make_bridge("beta")

    @pytest.mark.parametrize("name", WITH_A_KEY)
    def test_undefined_is_an_unknown_key(self, session: LinkSession, name: str) -> None:
        """What a Node bridge without API_TOKEN sends: "Authorization: Bearer undefined"."""
        answer = Client().get("/api/whatsapp/cleanup-stats", headers={"Authorization": "Bearer undefined"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "INVALID_KEY")
        assert send(name, session, secret="undefined").status_code == 401

    @pytest.mark.parametrize("name", ABOUT_A_SESSION)
    def test_of_another_bridge_is_of_nobody(self, linked: LinkSession, beta: Bridge, name: str) -> None:
        before = Transition.objects.count()
        refused = send(name, linked, secret="beta")
        linked.session_id = "webjs_1_nobody"
        nobody = send(name, linked, secret="beta", account_id=10**9)
        assert refused.status_code == nobody.status_code == 404
        assert refused.json() == nobody.json()
        assert Transition.objects.count() == before

    @pytest.mark.parametrize("name", ABOUT_A_SESSION)
    def test_of_a_workspace_that_it_does_not_serve(self, linked: LinkSession, name: str) -> None:
        linked.bridge.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        assert send(name, linked).status_code == 404
        linked.bridge.workspaces.add(linked.account.workspace)
        assert send(name, linked).status_code == 200

    @pytest.mark.parametrize("name", ["accounts_active", "accounts_for_cleanup"])
    def test_lists_name_nothing_of_others(self, linked: LinkSession, beta: Bridge, name: str) -> None:
        if name == "accounts_for_cleanup":
            long_over(linked)
        assert linked.session_id in send(name, linked).content.decode()
        assert linked.session_id not in send(name, linked, secret="beta").content.decode()
        linked.bridge.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        assert linked.session_id not in send(name, linked).content.decode()

    def test_all_three_credentials(self, session: LinkSession) -> None:
        _raw, signed = signed_headers("alpha-hmac", b"")
        for headers in (signed, {"X-API-Key": "alpha-key"}, {"Authorization": "Bearer alpha-key"}):
            assert Client().get("/api/whatsapp/accounts/active", headers=headers).status_code == 200

    def test_a_wrong_signature_beside_a_good_key(self, session: LinkSession) -> None:
        _raw, signed = signed_headers("beta-hmac", b"")
        answer = Client().get("/api/whatsapp/accounts/active", headers=signed | {"X-API-Key": "alpha-key"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "INVALID_SIGNATURE")

    @pytest.mark.parametrize("name", NAMES)
    def test_no_redirect_anywhere(self, session: LinkSession, name: str) -> None:
        """A redirect turns a POST into a GET, and the bridge logs success."""
        assert send(name, session).status_code in {200, 202}

    @pytest.mark.parametrize("name", ["account_by_session", "cleanup_logs"])
    def test_other_methods_are_405_in_json(self, session: LinkSession, name: str) -> None:
        path = {"account_by_session": f"accounts/by-session/{session.session_id}", "cleanup_logs": "cleanup-logs"}[name]
        answer = Client().delete(f"/api/whatsapp/{path}", headers={"X-API-Key": "alpha-key"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")

    def test_an_ended_session_tells_why(self, session: LinkSession) -> None:
        attempts.start(session.account_id, trigger="test", may=May.RENEW)
        session.refresh_from_db()
        assert session.end_reason == EndReason.RENEWED
        assert send("account_by_session", session).json()["data"]["status"] == Status.INACTIVE
