"""Each request has an id, and its actions an origin."""

import re
import uuid
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.access import audit
from accounts.access.audit import Origin
from accounts.logs.format import about
from accounts.logs.redaction import redact
from api.http.rate_limit import address_of, is_from_proxy

_SANE = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIdMiddleware:
    """Use the X-Request-Id that a proxy of ours has set, else make one.

    It is in each line of the log, in the answer, and in the audit of what the request does.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = id_of(request)
        with about(request_id=request_id), audit.comes_from(Origin(address_of(request), request_id)):
            response = self.get_response(request)
        response.headers["X-Request-Id"] = request_id
        return response


def id_of(request: Any) -> str:
    return _given(request) or uuid.uuid4().hex


def _given(request: Any) -> str | None:
    """Return the id that a proxy of ours has set, if it is well-formed. From others it could be somebody else's: the
    audit is searched by it."""
    value = request.headers.get("X-Request-Id", "") if is_from_proxy(request) else ""
    return value if _SANE.fullmatch(value) and redact(value) == value else None
