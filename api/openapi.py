"""Parts of /api/schema/ that the code does not show: errors with their codes, credentials, examples."""

from collections import defaultdict
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers

from accounts.models.bridge import Obstacle
from api import serializers as shapes

# Every code an answer may have, with its status and its words as an example.
CODES = {
    "INVALID_FIELD": (400, "phone_number: Write the number with its country code and digits only."),
    "INVALID_UTF8": (400, "The body is not valid UTF-8."),
    "INVALID_JSON": (400, "The body is not valid JSON."),
    "NOT_AN_OBJECT": (400, "The body must be a JSON object."),
    "DUPLICATE_KEY": (400, "An object has the same key twice."),
    "TOO_DEEP": (400, "The body is nested deeper than 20 levels."),
    "TOO_MANY_VALUES": (400, "The body has more than 250000 values."),
    "NUMBER_OUT_OF_RANGE": (400, "A number is too large."),
    "NUL_IN_TEXT": (400, "Text must not contain NUL characters."),
    "LONE_SURROGATE": (400, "Text must not contain half of a surrogate pair."),
    "STATUS_NOT_ALLOWED": (400, "Only events of its session make an account connected."),
    "STATUS_NOT_CLEANABLE": (400, "Not cleaned up: connected."),
    "INVALID_HEADER": (400, "X-Event-Id must be at most 64 printable ASCII characters."),
    "NOT_AUTHENTICATED": (401, "Authentication credentials were not provided."),
    "INVALID_TOKEN": (401, "This token is unknown, expired or revoked."),
    "INVALID_SIGNATURE": (401, "The signature does not match. Check the secret of this bridge."),
    "TWO_SIGNATURES": (401, "Send X-HMAC-Signature or X-HMAC-Signature-V2, not both."),
    "VERSION_1_REFUSED": (401, "This bridge signs by version 2, so version 1 is refused."),
    "REPLAYED": (409, "This very request was here before. Sign each try anew."),
    "STALE_HEARTBEAT": (409, "A heartbeat with this X-Bridge-Sequence or a higher one was here before."),
    "INVALID_KEY": (401, "The API key is missing or unknown. Check the key of this bridge."),
    "INVALID_TIMESTAMP": (401, "X-Timestamp must be Unix seconds, in decimal digits."),
    "STALE_TIMESTAMP": (401, "X-Timestamp is more than 300 s off. Set the clock of the bridge."),
    "MISSING_HEADER": (401, "The header X-Timestamp is missing."),
    "PERMISSION_DENIED": (403, "This needs the scope 'manage'; of staff, the permission accounts.reset_account."),
    "CSRF_FAILED": (403, "Send the CSRF token of your login as X-CSRFToken, from a page of this site."),
    "NOT_FOUND": (404, "There is no such thing here, or it is not yours."),
    "NOT_PAIRING": (404, "No pairing is in progress for this account."),
    "METHOD_NOT_ALLOWED": (405, 'Method "PUT" not allowed.'),
    "ACCOUNT_INACTIVE": (409, "This account is switched off. Ask our support."),
    "ALREADY_CONNECTED": (409, "This account is connected. Reset it first to link another phone."),
    "BODY_TOO_LARGE": (413, "The body is larger than 256 KiB."),
    "UNSUPPORTED_MEDIA_TYPE": (415, "Send JSON, as Content-Type: application/json."),
    "PAIRING_IN_PROGRESS": (429, "A pairing is in progress. Scan its QR code, or wait until it ends."),
    "PAIRING_COOLDOWN": (429, "Too many attempts have failed. Try again in 42 minutes."),
    "TOO_MANY_PAIRINGS": (429, "Too many pairings are waiting for a scan in this workspace. Try again in a minute."),
    "RATE_LIMITED": (429, "Too many failed requests from this address."),
    "NO_BRIDGE_AVAILABLE": (503, "No bridge has been heard of yet. Our support must start one."),
    "NOT_HEALTHY": (503, "No worker takes tasks."),
    "BUSY": (503, "The database does not answer. Try again."),
}
REASONS = {"NO_BRIDGE_AVAILABLE": {"reason": Obstacle.NEVER_HEARD.value}}
WAITS = frozenset({429, 503})  # with Retry-After, and the same seconds in the body
# Errors of reading a body, whatever it should have held (api/http/strict_json.py, api/http/sizes.py).
JSON_BODY = (
    "INVALID_UTF8",
    "INVALID_JSON",
    "NOT_AN_OBJECT",
    "DUPLICATE_KEY",
    "TOO_DEEP",
    "TOO_MANY_VALUES",
    "NUMBER_OUT_OF_RANGE",
    "NUL_IN_TEXT",
    "LONE_SURROGATE",
    "INVALID_FIELD",
    "BODY_TOO_LARGE",
)
BODY = (*JSON_BODY, "UNSUPPORTED_MEDIA_TYPE")  # for operators; a bridge's body is read as JSON, whatever its type


class ErrorDetail(shapes.Shape):
    code = serializers.CharField(help_text="Stable, for programs.")
    message = serializers.CharField(help_text="Plain words, for people.")
    reason = serializers.ChoiceField(
        Obstacle.values, required=False, help_text="With NO_BRIDGE_AVAILABLE: why no bridge may take a new session."
    )
    retry_after = serializers.IntegerField(required=False, help_text="Seconds, as in the header Retry-After.")


class Error(shapes.Shape):
    success = serializers.BooleanField()
    error = ErrorDetail()


class Unhealthy(Error):
    data = shapes.HealthData(required=False)


def answers(good: dict[int, Any], *codes: str) -> dict[int, Any]:
    """Return the responses of an operation: its good answers, and its errors, each code with an example."""
    examples: dict[int, list[OpenApiExample]] = defaultdict(list)
    for code in dict.fromkeys(codes):
        status, message = CODES[code]
        error = {"code": code, "message": message} | ({"retry_after": 30} if status in WAITS else {})
        error |= REASONS.get(code, {})
        examples[status].append(OpenApiExample(code, {"success": False, "error": error}, status_codes=[str(status)]))
    errors = {
        status: OpenApiResponse(Error, ", ".join(example.name for example in shown), shown)
        for status, shown in examples.items()
    }
    return errors | good


def operator_answers(good: dict[int, Any], *codes: str) -> dict[int, Any]:
    everywhere = ("INVALID_FIELD", "INVALID_TOKEN", "NOT_AUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND")
    return answers(good, *everywhere, *codes, "RATE_LIMITED", "BUSY")


def _example(value: dict[str, Any]) -> list[OpenApiExample]:
    return [OpenApiExample("example", value)]


PAIR_REFUSALS = (
    "CSRF_FAILED",
    "ALREADY_CONNECTED",
    "ACCOUNT_INACTIVE",
    "PAIRING_IN_PROGRESS",
    "PAIRING_COOLDOWN",
    "TOO_MANY_PAIRINGS",
    "NO_BRIDGE_AVAILABLE",
)
_UUID = "0b9d2f0e-6f0c-4d0a-9a55-3f2a7a1f4f6e"
_SESSION = "webjs_1_1763600000_abcd1234"
PAIRED = {
    "success": True,
    "data": {
        "account": _UUID,
        "session_id": _SESSION,
        "status": "qr_scanning",
        "expires_in": 60,
        "link_url": "https://linkdesk.example/link/Hq3…/",
    },
}

PAIR_ANSWERS = {
    201: OpenApiResponse(shapes.PairedSerializer, examples=_example(PAIRED)),
    202: OpenApiResponse(shapes.PairedSerializer, "Nothing was started: the link that was there is being restored."),
}
PAIR = extend_schema(
    operation_id="pair",
    summary="Start a pairing",
    description="For the account of this phone number, for this account, or else for a new one. "
    "`force` replaces an attempt that waits for its scan; one that was scanned only with the scope `manage`. "
    "`link_url` opens a page that shows the code: it is empty for staff without `accounts.add_linkinvitation` and "
    "`accounts.see_codes`.",
    tags=["operators"],
    request=shapes.PairRequest,
    responses=operator_answers(PAIR_ANSWERS, *BODY, *PAIR_REFUSALS),
)
PAIRING = extend_schema(
    operation_id="pairing",
    summary="The pairing now",
    description="With its code, by which a phone is linked: a program needs the scope `link`, staff the permission "
    "`accounts.see_codes` besides `accounts.view_account`. Who has got a code is noted in the audit.",
    tags=["operators"],
    parameters=[shapes.WhichPairing],
    responses=operator_answers({200: shapes.Pairing}, "NOT_PAIRING"),
)
FRESH_CODE = extend_schema(
    operation_id="generate_qr",
    summary="A fresh pairing for a phone",
    description="As `pair`, under the name that older systems know.",
    tags=["operators"],
    request=shapes.FreshCodeRequest,
    responses=operator_answers(PAIR_ANSWERS, *BODY, *PAIR_REFUSALS),
)
RESET = extend_schema(
    operation_id="reset",
    summary="Forced reset",
    description="Of one account whatever it does, or of every pairing in progress in the workspace.",
    tags=["operators"],
    request=shapes.ResetRequest,
    responses=operator_answers(
        {200: OpenApiResponse(shapes.Reset, examples=_example({"success": True, "data": {"reset": 1}}))},
        *BODY,
        "CSRF_FAILED",
    ),
)
STATUS = extend_schema(
    operation_id="status",
    summary="The workspace at a glance",
    tags=["operators"],
    parameters=[shapes.Named],
    responses=operator_answers({200: shapes.StatusAnswer}),
)
HEALTH = extend_schema(
    operation_id="health",
    summary="Whether the parts that linking needs are there",
    tags=["operators"],
    parameters=[shapes.Named],
    responses=operator_answers({200: shapes.HealthAnswer}, "NOT_HEALTHY")
    | {503: OpenApiResponse(Unhealthy, "NOT_HEALTHY, with what was found; BUSY, without.")},
)


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "api.authentication.WorkspaceTokens"
    name = "workspaceToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "From `manage.py create_token`."}


class StaffScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "api.authentication.StaffSessions"
    name = "staffLogin"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        text = "The admin's login; what changes something also needs its CSRF token as X-CSRFToken."
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": text}
