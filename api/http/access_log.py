"""Each request has an id in the log, and daphne's access log is written as lines like all others."""

import logging
import re
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from daphne.access import AccessLogGenerator
from django.http import HttpRequest, HttpResponse

from accounts.logs.format import about
from accounts.logs.redaction import redact

log = logging.getLogger("daphne.access")
_SANE = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIdMiddleware:
    """Use the X-Request-Id that a proxy has set, else make one; it is in each line of the log and in the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = _given(request) or uuid.uuid4().hex
        with about(request_id=request_id):
            response = self.get_response(request)
        response.headers["X-Request-Id"] = request_id
        return response


def _given(request: HttpRequest) -> str | None:
    """Return the id of the request if it is well-formed: anybody may send one, and it goes into the log."""
    value = request.headers.get("X-Request-Id", "")
    return value if _SANE.fullmatch(value) and redact(value) == value else None


def install() -> None:
    """Run once per process, when the apps are ready: daphne writes its access log past `logging`, without a hook."""
    AccessLogGenerator.write_entry = _write_entry


def _write_entry(
    generator: Any, host: str, date: datetime, request: str, status: int | None = None, length: int | None = None
) -> None:
    log.info('%s "%s" %s %s', host, request, status or "-", length or "-")
