"""What fits the schema, or nearly does: no 5xx, no status that the schema does not name, no answer of another form."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from schemathesis import checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.models import Account, Bridge, LinkSession, Pulse, Workspace
from accounts.pairing import attempts
from api.models import ALL_SCOPES, WorkspaceToken
from config.wsgi import application
from tests.support.signing import signed_headers

BRIDGE_PATHS = ("/api/whatsapp/webhooks/", "/api/whatsapp/chats/")
OPERATORS = ("pair", "status", "reset", "health", "accounts/generate-qr")
SESSION = "webjs_1_1763600000_abcd1234"
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "12"))  # per operation; the suite has a minute for all of them
TOKEN = "ld_only-in-this-test"

Start = Callable[..., Any]


INVENTED = (
    "HTTP_X_HMAC_SIGNATURE",
    "HTTP_X_HMAC_SIGNATURE_V2",
    "HTTP_X_TIMESTAMP",
    "HTTP_X_API_KEY",
    "HTTP_AUTHORIZATION",
)


def with_credentials(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Every request signed as its caller would: the signature is over the very bytes that are sent."""
    path = environ["PATH_INFO"]
    for invented in INVENTED:
        environ.pop(invented, None)
    if path.startswith(BRIDGE_PATHS):
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        _, headers = signed_headers("alpha-hmac", raw, at=int(time.time()))
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        environ["wsgi.input"] = BytesIO(raw)
    elif path.removeprefix("/api/whatsapp/") in OPERATORS:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}"
    else:
        environ["HTTP_X_API_KEY"] = "alpha-key"
    result: Iterable[bytes] = application(environ, start)
    return result


schema = schemathesis.openapi.from_wsgi("/api/schema/", with_credentials)


@schema.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Every second session id is one that is there."""
    if path_parameters:
        for name in ("session_id", "key"):
            if name in path_parameters and len(str(path_parameters[name])) % 2:
                path_parameters[name] = SESSION
    return path_parameters


@schema.hook
def map_body(context: Any, body: Any) -> Any:
    """As is that of an event."""
    data = body.get("data") if isinstance(body, dict) else None
    if isinstance(data, dict) and len(str(body)) % 2:
        data["session_id"] = SESSION
    return body


@pytest.fixture
def world(workspace: Workspace, account: Account, bridge: Bridge, settings: Any) -> Iterator[None]:
    for name in ("MESSAGES", "LIFECYCLE", "QR", "OTHERS", "STRANGERS"):
        setattr(settings, f"LINKDESK_LIMIT_{name}", 1_000_000)  # so that what is asked is what is tested
    Bridge.objects.update(capacity=1_000_000, last_heard_at=timezone.now())
    OrmQ.objects.all().delete()
    Schedule.objects.all().delete()
    Pulse.objects.create(lane="default", answered_at=timezone.now() + timedelta(hours=1))  # for as long as this takes
    session = attempts.start(account.pk, trigger="test")
    LinkSession.objects.filter(pk=session.pk).update(session_id=SESSION)
    WorkspaceToken.issue(workspace.pk, scopes=ALL_SCOPES)
    WorkspaceToken.objects.update(token_hash=hashlib.sha256(TOKEN.encode()).hexdigest())
    # As Django's own test client: the end of a request must not close the connection that holds the test's transaction.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def operations() -> dict[str, Any]:
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    return {operation.label: operation for operation in found}


# Not `schema.parametrize()`: it gives all operations one id, of which xdist runs one.
@pytest.mark.django_db
@pytest.mark.timeout(300)
@pytest.mark.parametrize("operation", operations().values(), ids=operations())
def test_the_api_does_as_its_schema_says(operation: Any, world: None) -> None:
    @given(case=operation.as_strategy())
    @examples(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: Any) -> None:
        case.validate_response(case.call(), checks=CHECKS)

    holds()
