"""A login of the staff gets nothing of a workspace that its person does not see from any address of the API."""

import json
import re
from typing import Any

import pytest
from django.test import Client

import api.urls
import webhooks.urls
from tests.sessions_admin.routes import routes_of
from tests.sessions_admin.two_workspaces import OUT_OF_SIGHT, ROLES, TwoWorkspaces, desk, nothing_changes

__all__ = ["desk", "nothing_changes"]

pytestmark = pytest.mark.django_db

# Each address that takes a login of the staff, and how it is asked.
STAFF_CALLS: dict[str, list[str]] = {
    "pair": ["GET", "POST"],
    "status": ["GET"],
    "reset": ["POST"],
    "accounts/generate-qr": ["POST"],
    "health": ["GET"],
}


def call(client: Client, method: str, route: str, asked: dict[str, Any]) -> Any:
    address = f"/api/whatsapp/{route}"
    if method == "GET":
        return client.get(address, asked)
    return client.generic(method, address, json.dumps(asked), content_type="application/json")


def test_the_addresses_of_the_api_are_known_here() -> None:
    assert {route.path for route in routes_of(api.urls.urlpatterns)} == set(STAFF_CALLS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.usefixtures("nothing_changes")
class TestTheApi:
    def test_a_login_gets_nothing_of_the_other_workspace(self, desk: TwoWorkspaces, role: str) -> None:
        uuid = str(desk.other_account.uuid)
        for route, methods in STAFF_CALLS.items():
            for method in methods:
                for workspace in (desk.other.pk, 999_999):
                    asked = {"workspace_id": workspace} | ({"account": uuid} if route in {"pair", "reset"} else {})
                    asked |= {"phone_number": "+6281116801649"} if "generate" in route else {}
                    assert call(desk.as_(role), method, route, asked).status_code in OUT_OF_SIGHT, (route, asked)

    def test_nor_does_the_account_answer_in_their_own(self, desk: TwoWorkspaces, role: str) -> None:
        asked = {"workspace_id": desk.own.pk, "account": str(desk.other_account.uuid)}
        for route, method in (("pair", "GET"), ("pair", "POST"), ("reset", "POST")):
            assert call(desk.as_(role), method, route, asked).status_code in OUT_OF_SIGHT

    def test_what_bridges_ask_takes_no_login(self, desk: TwoWorkspaces, role: str) -> None:
        ids = {"session_id": desk.other_session.session_id, "workspace_id": desk.other.pk}
        for route in routes_of(webhooks.urls.urlpatterns):
            path = re.sub(r"<[^>]+>", desk.other_session.session_id, route.path)
            for method in ("GET", "POST"):
                assert call(desk.as_(role), method, path, ids).status_code in {401, 403, 404, 405}, path

    def test_the_glance_at_their_own_counts_it_alone(self, desk: TwoWorkspaces, role: str) -> None:
        for route in ("status", "health"):
            answer = call(desk.as_(role), "GET", route, {"workspace_id": desk.own.pk})
            assert answer.status_code in {200, 503}
            assert desk.marks_in(answer.content) == []
