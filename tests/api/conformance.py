"""Requests that fit the schema, or nearly do, signed as their caller would, and what their answers are held against.

To import schemathesis and to read the schema takes three seconds: whoever runs these tests imports this, and nobody who
only collects them.
"""

import os
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import schemathesis
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


CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


OPERATIONS = {
    operation.label: operation
    for each in schema.get_all_operations()
    if isinstance(each, Ok)
    for operation in [each.ok()]
}


def try_examples(name: str) -> None:
    @given(case=OPERATIONS[name].as_strategy())
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
