"""Alice and Mallory have a workspace and a bridge each. Whatever Mallory shows, on whatever route: nothing of Alice's.

The routes come from the URL table. One that is not in CALLS fails `test_every_route_is_tried`: say how it is called
with something of somebody else's.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Transition, User, Workspace
from accounts.pairing import attempts
from api.models import WorkspaceToken
from tests.api.routes import METHODS, routes
from tests.support.portal import make_bridge
from tests.support.signing import signed_headers

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Call:
    """How a route is asked for a thing, by its `{uuid}`, `{session_id}`, `{pk}`, `{workspace_id}`, `{phone}`."""

    path: str = ""  # where the route has parameters
    query: str = ""
    body: str = ""
    # Answered 200 to everybody who has a credential for it, about what is their own.
    own: bool = False


STATUSES = '["qr_scanning", "qr_expired", "failed", "disconnected", "logged_out"]'
EVENT = '{"event": "session_ready", "data": {"session_id": "{session_id}", "phone_number": "6281299999999"}}'
SESSION_PATH = "/api/whatsapp/accounts/by-session/{session_id}"
CALLS = {
    "POST /api/whatsapp/pair": Call(body='{"account": "{uuid}", "workspace_id": {workspace_id}, "force": true}'),
    "GET /api/whatsapp/pair": Call(query="account={uuid}&workspace_id={workspace_id}"),
    "GET /api/whatsapp/status": Call(query="workspace_id={workspace_id}"),
    "GET /api/whatsapp/health": Call(query="workspace_id={workspace_id}"),
    "POST /api/whatsapp/reset": Call(body='{"account": "{uuid}", "workspace_id": {workspace_id}}'),
    "POST /api/whatsapp/accounts/generate-qr": Call(body='{"workspace_id": {workspace_id}, "phone_number": "{phone}"}'),
    "POST /api/whatsapp/webhooks/webjs": Call(body=EVENT, own=True),
    "POST /api/whatsapp/webhooks/batch": Call(body=f'{{"events": [{EVENT}]}}', own=True),
    "POST /api/whatsapp/chats/sync": Call(body='{"session_id": "{session_id}", "chats": []}', own=True),
    "POST /api/whatsapp/bridges/heartbeat": Call(
        body='{"library": "x", "version": "1", "sessions": [{"session_id": "{session_id}", "status": "connected"}]}',
        own=True,
    ),
    "GET /api/whatsapp/accounts/active": Call(own=True),
    "GET /api/whatsapp/accounts-for-cleanup": Call(own=True),
    "GET /api/whatsapp/cleanup-stats": Call(own=True),
    "POST /api/whatsapp/cleanup-logs": Call(
        body='{"whatsapp_account_id": {pk}, "action": "cleanup", "status": "success"}', own=True
    ),
    "POST /api/whatsapp/accounts/cleanup": Call(
        body='{"workspace_id": {workspace_id}, "cleanup_statuses": ' + STATUSES + "}"
    ),
    "POST /api/whatsapp/accounts/cleanup-stale": Call(body='{"stale_threshold_minutes": 5}', own=True),
    "GET /api/whatsapp/accounts/by-session/<str:session_id>": Call(path=SESSION_PATH),
    "PATCH /api/whatsapp/accounts/by-session/<str:session_id>": Call(path=SESSION_PATH, body='{"health_score": 0}'),
    "GET /api/whatsapp/accounts/<str:key>/status": Call(path="/api/whatsapp/accounts/{session_id}/status"),
    "PATCH /api/whatsapp/accounts/<str:key>/status": Call(
        path="/api/whatsapp/accounts/{pk}/status", body='{"status": "failed", "reason": "x"}'
    ),
    "POST /api/whatsapp/sessions/<str:session_id>/mark-disconnected": Call(
        path="/api/whatsapp/sessions/{session_id}/mark-disconnected", body='{"reason": "x"}'
    ),
    "POST /api/whatsapp/accounts/<str:session_id>/mark-disconnected": Call(
        path="/api/whatsapp/accounts/{session_id}/mark-disconnected", body='{"workspace_id": "{workspace_id}"}'
    ),
    "POST /api/v1/whatsapp/webhook": Call(body=EVENT, own=True),  # anybody's, and not read
}
PUBLIC = {"GET /api/schema/", "GET /api/docs/"}


def known_routes() -> set[str]:
    found = {(path, view) for path, view in routes() if path.startswith("/api/")}
    return {f"{method.upper()} {path}" for path, view in found for method in METHODS if hasattr(view.cls, method)}


def test_every_route_is_tried() -> None:
    assert known_routes() - CALLS.keys() - PUBLIC == set(), "say in CALLS how it is called"
    assert CALLS.keys() - known_routes() == set(), "no longer there"


Thing = dict[str, str]


def pairing_of(name: str, bridge: Bridge, **account: str) -> LinkSession:
    """One that has just begun, in a workspace that the bridge serves alone."""
    workspace = Workspace.objects.create(name=f"Toko {name}")
    bridge.workspaces.add(workspace)
    return attempts.start(Account.objects.create(workspace=workspace, **account).pk, trigger="test")


@pytest.fixture(scope="module")
def pairings(shared_rows: None) -> tuple[LinkSession, LinkSession]:
    """Alice's, with all that may not be seen, and Mallory's."""
    hers = pairing_of("Alice", make_bridge("alpha"), phone_number="6281116801641", label="Toko Rahasia")
    mallorys = pairing_of("Mallory", make_bridge("mallorys"), label="Mallory's own")
    OrmQ.objects.all().delete()  # what comes due between two calls shows in the answer of `health`
    return hers, mallorys


@pytest.fixture
def alices(db: None, pairings: tuple[LinkSession, LinkSession]) -> Thing:
    """As it is when both have just begun, on bridges that were heard of just now."""
    now = timezone.now()
    Bridge.objects.update(last_heard_at=now)
    Account.objects.update(status_changed_at=now)
    LinkSession.objects.update(started_at=now, admitted_at=now)
    session, _ = pairings
    return {
        "uuid": str(session.account.uuid),
        "session_id": session.session_id,
        "pk": str(session.account_id),
        "workspace_id": str(session.account.workspace_id),
        "phone": "6281116801641",
        "label": "Toko Rahasia",
        "workspace": "Toko Alice",
        "bridge": '"alpha"',
    }


NOBODYS: Thing = {
    "uuid": "0b9d2f0e-6f0c-4d0a-9a55-3f2a7a1f4f6e",
    "session_id": "webjs_9_1763600000_nobodyxx",
    "pk": "987654321",
    "workspace_id": "987654321",
    "phone": "6281116801699",
}


@dataclass(frozen=True)
class Mallory:
    client: Client
    headers: Callable[[bytes], dict[str, str]]
    workspace_id: str = ""


def _signed(raw: bytes) -> dict[str, str]:
    return signed_headers("mallorys-hmac", raw)[1]


CREDENTIALS = ["nothing", "token", "api key", "bearer key", "signature", "login", "alice's token, cut"]


@pytest.fixture
def mallory(request: pytest.FixtureRequest, alices: Thing, pairings: tuple[LinkSession, LinkSession]) -> Mallory:
    hers = pairings[1].account.workspace
    client = Client(raise_request_exception=False)
    if request.param == "login":
        client.force_login(_member_of(hers))
    cut = WorkspaceToken.issue(int(alices["workspace_id"]))[:-1]
    headers: dict[str, Callable[[bytes], dict[str, str]]] = {
        "token": lambda _: {"Authorization": f"Bearer {token}"},
        "api key": lambda _: {"X-API-Key": "mallorys-key"},
        "bearer key": lambda _: {"Authorization": "Bearer mallorys-key"},
        "signature": _signed,
        "alice's token, cut": lambda _: {"Authorization": f"Bearer {cut}"},
    }
    token = WorkspaceToken.issue(hers.pk)
    return Mallory(client, headers.get(request.param, lambda _: {}), str(hers.pk))


def _member_of(workspace: Workspace) -> User:
    user = User.objects.create(username="mallory", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    workspace.members.add(user)
    return user


def ask(mallory: Mallory, route: str, thing: Thing) -> Any:
    method, _, path = route.partition(" ")
    call = CALLS[route]
    filled = [_fill(text, thing) for text in (call.path or path, call.query, call.body)]
    raw = filled[2].encode()
    address = f"{filled[0]}?{filled[1]}" if filled[1] else filled[0]
    return mallory.client.generic(method, address, raw, "application/json", headers=mallory.headers(raw))


def _fill(text: str, thing: Thing) -> str:
    for name, value in thing.items():
        text = text.replace("{" + name + "}", value)
    return text


def shape_of(answer: Any, thing: Thing) -> tuple[int, str]:
    """What was answered, with what the caller named taken out, and what a second between two calls changes."""
    text = re.sub(r'"seconds_late":\d+', "<late>", answer.content.decode())
    for name in ("uuid", "session_id", "phone"):
        text = text.replace(json.dumps(thing[name]), f"<{name}>")
    return answer.status_code, text


@pytest.mark.parametrize("workspace_named", ["alice's", "her own"])
@pytest.mark.parametrize("mallory", CREDENTIALS, indirect=True)
@pytest.mark.parametrize("route", sorted(CALLS))
def test_nothing_of_anothers_is_shown_or_moved(
    route: str, mallory: Mallory, workspace_named: str, alices: Thing
) -> None:
    call, before = CALLS[route], rows_of(alices)
    own = {"workspace_id": mallory.workspace_id} if workspace_named == "her own" else {}
    nothing = ask(mallory, route, NOBODYS | own)
    answer = ask(mallory, route, alices | own)
    if not may_be_answered(call, workspace_named):
        assert answer.status_code in {401, 403, 404}, answer.content
    assert answer.status_code == nothing.status_code
    if answer.status_code != 201:  # what is new has names of its own
        assert shape_of(answer, alices) == shape_of(nothing, NOBODYS)
    sent = _fill(call.path + call.query + call.body, alices)
    hers = [value for name, value in alices.items() if name not in {"pk", "workspace_id"} and value not in sent]
    assert [value for value in hers if value in answer.content.decode()] == []
    assert rows_of(alices) == before


def may_be_answered(call: Call, workspace_named: str) -> bool:
    """It is about what is the caller's own, or at least names nothing else."""
    names_a_thing = any(name in call.path + call.query + call.body for name in ("{uuid}", "{session_id}", "{pk}"))
    return call.own or (workspace_named == "her own" and not names_a_thing)


@pytest.mark.usefixtures("idle_queue")
@pytest.mark.parametrize("route", sorted(CALLS))
def test_alice_herself_is_answered(route: str, alices: Thing) -> None:
    """So that it is not for a wrong call that Mallory is refused."""
    token = WorkspaceToken.issue(int(alices["workspace_id"]))
    credentials: list[Callable[[bytes], dict[str, str]]] = [
        lambda _: {"Authorization": f"Bearer {token}"},
        lambda _: {"X-API-Key": "alpha-key"},
        lambda raw: signed_headers("alpha-hmac", raw)[1],
    ]
    statuses = {ask(Mallory(Client(), headers), route, alices).status_code for headers in credentials}
    assert statuses & {200, 201, 202, 429}, statuses


def rows_of(thing: Thing) -> list[Any]:
    """All that an attempt to move something of hers would change."""
    hers = int(thing["workspace_id"])
    mine = {"account__workspace_id": hers}
    return [
        list(Account.objects.filter(workspace_id=hers).values_list()),
        list(LinkSession.objects.filter(**mine).values_list()),
        list(Transition.objects.filter(**mine).values_list("pk")),
        list(BridgeOrder.objects.filter(session__account__workspace_id=hers).values_list("pk", "state")),
    ]
