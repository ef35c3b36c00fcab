"""Every error of the API has one shape, with a code that programs may rely on."""

import logging
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

log = logging.getLogger(__name__)

FOR_PROGRAMS = ("/api/", "/healthz", "/readyz")  # everything else is read by people, as HTML
NOTHING_HERE = "There is no such thing here, or it is not yours."


class ApiError(exceptions.APIException):
    """An answer other than 2xx. `code` is stable, `message` says in plain words what is wrong and what to do.

    `reason` is for programs too, where one code has several.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: int | None = None, reason: str = ""
    ) -> None:
        super().__init__(message, code)
        self.status_code = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.reason = reason


def envelope(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {"success": False, "error": {"code": code, "message": message, **more}}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: our envelope for all that DRF and Django raise on purpose; None: a 500."""
    known = as_api_error(error)
    if known is None:
        return None
    more: dict[str, Any] = {"reason": known.reason} if known.reason else {}
    headers = {}
    if known.retry_after is not None:
        more["retry_after"] = known.retry_after
        headers["Retry-After"] = str(known.retry_after)
    challenge = getattr(error, "auth_header", None) or _challenge(known, context)
    if challenge:
        headers["WWW-Authenticate"] = challenge
    return Response(envelope(known.code, known.message, **more), known.status_code, headers=headers)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not request.path.startswith(FOR_PROGRAMS):
        return defaults.bad_request(request, exception)
    return JsonResponse(envelope("BAD_REQUEST", "This request cannot be read."), status=400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not request.path.startswith(FOR_PROGRAMS):
        return defaults.permission_denied(request, exception)
    return JsonResponse(envelope("PERMISSION_DENIED", "You may not do this."), status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not request.path.startswith(FOR_PROGRAMS):
        return defaults.page_not_found(request, exception)
    return JsonResponse(envelope("NOT_FOUND", NOTHING_HERE), status=404)


def broken(request: HttpRequest) -> HttpResponse:
    if not request.path.startswith(FOR_PROGRAMS):
        return defaults.server_error(request)
    return JsonResponse(envelope("INTERNAL", "Something is broken here. It has been logged."), status=500)


def _challenge(known: ApiError, context: dict[str, Any]) -> str | None:
    """Return the challenge that a 401 must name (RFC 9110, 11.6.1)."""
    if known.status_code != 401:
        return None
    challenge: str | None = context["view"].get_authenticate_header(context["request"])
    return challenge


def as_api_error(error: Exception) -> ApiError | None:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestDataTooBig):
        return ApiError(413, "BODY_TOO_LARGE", "The body is larger than 32 MiB.")
    if isinstance(error, Http404 | exceptions.NotFound):
        return ApiError(404, "NOT_FOUND", NOTHING_HERE)
    if isinstance(error, OperationalError):
        log.error("the database did not answer a request", exc_info=error)
        return ApiError(503, "BUSY", "The database does not answer. Try again.", retry_after=2)
    if isinstance(error, exceptions.ValidationError):
        return ApiError(400, "INVALID_FIELD", _first_problem(error.detail))
    if isinstance(error, exceptions.APIException):
        return ApiError(error.status_code, error.default_code.upper(), str(error.detail))
    return None


def _first_problem(detail: Any, path: str = "") -> str:
    """{'message': {'id': ['Required.']}} -> 'message.id: Required.'"""
    if isinstance(detail, dict):
        key, inner = next(iter(detail.items()))
        return _first_problem(inner, f"{path}.{key}" if path else str(key))
    if isinstance(detail, list):
        return _first_problem(detail[0], path)
    return f"{path}: {detail}" if path else str(detail)
