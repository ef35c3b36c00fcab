"""One shape for every error of the API, and the codes that programs may rely on."""

import logging
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

log = logging.getLogger(__name__)


class ApiError(exceptions.APIException):
    """An answer other than 2xx. `code` is stable, `message` says in plain words what is wrong and what to do."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message, code)
        self.status_code = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


def envelope(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {"success": False, "error": {"code": code, "message": message, **more}}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: our envelope for all that DRF and Django raise on purpose; None: a 500."""
    known = _as_api_error(error)
    if known is None:
        return None
    if known.retry_after is None:
        return Response(envelope(known.code, known.message), known.status_code)
    body = envelope(known.code, known.message, retry_after=known.retry_after)
    return Response(body, known.status_code, headers={"Retry-After": str(known.retry_after)})


def _as_api_error(error: Exception) -> ApiError | None:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestDataTooBig):
        return ApiError(413, "BODY_TOO_LARGE", "The body is larger than 32 MiB.")
    if isinstance(error, Http404 | exceptions.NotFound):
        return ApiError(404, "NOT_FOUND", "There is no such thing here, or it is not yours.")
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
