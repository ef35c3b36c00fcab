"""Toko Alice has a program with a token; Bob is on its staff; Mallory has a workspace and a bridge of her own."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from accounts.models import LinkSession, Pulse, User, Workspace
from api.models import ALL_SCOPES, WorkspaceToken
from tests.support.links import QR, READY
from tests.support.portal import Portal

PHONE = "6281116801641"


class Program:
    """A program that asks below /api/whatsapp/ with a token, or with none."""

    def __init__(self, token: str = "") -> None:
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = Client(raise_request_exception=False)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/whatsapp/{path}", query, headers=self.headers)

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(f"/api/whatsapp/{path}", body, "application/json", headers=self.headers)


def program(workspace: Workspace, scopes: str = ALL_SCOPES) -> Program:
    return Program(WorkspaceToken.issue(workspace.pk, name="shop", scopes=scopes))


def assert_refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    """As the contract has it; gives the error."""
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/json"), answer.content
    body = answer.json()
    assert body["success"] is False
    assert body["error"]["code"] == code, body
    assert body["error"]["message"]
    if status == 429:
        assert answer["Retry-After"] == str(body["error"]["retry_after"])
    error: dict[str, Any] = body["error"]
    return error


@pytest.fixture
def asks(workspace: Workspace) -> Program:
    return program(workspace)


@pytest.fixture
def bob(workspace: Workspace) -> User:
    bob = User.objects.create(username="bob", is_staff=True)
    workspace.members.add(bob)
    return bob


def permit(user: User, *labels: str) -> None:
    for label in labels:
        user.user_permissions.add(Permission.objects.get(content_type__app_label="accounts", codename=label))


@pytest.fixture
def idle_queue(db: None) -> None:
    """Nothing is late, and a worker has just answered: how old the rows of `migrate` are is chance."""
    OrmQ.objects.all().delete()
    Schedule.objects.all().delete()
    Pulse.objects.create(lane="default", answered_at=timezone.now())


def told(portal: Portal, session: LinkSession, *events: str) -> None:
    for event in events:
        more: dict[str, Any] = {"qr_code_generated": QR, "session_ready": READY}.get(event, {})
        answer = portal.post(event, session, **more)
        assert answer.json()["outcome"] == "applied", (event, answer.content)
