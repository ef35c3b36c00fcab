"""The requests of bridges in /api/schema/: a table from view and method to its description.

The table stands beside the views: most of it is about the bridge at the other end (docs/bridge-api.md).
"""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.views import APIView

from api.openapi import JSON_BODY, answers
from api.serializers import STATES, Shape
from webhooks.bridge_api import serializers as requests
from webhooks.bridge_api.views import batch, cleanup, heartbeat, reports, webjs
from webhooks.bridge_api.views import sessions as views_sessions
from webhooks.events.serializers import MarkDisconnected

SIGNATURE = (
    "MISSING_HEADER",
    "INVALID_TIMESTAMP",
    "STALE_TIMESTAMP",
    "INVALID_SIGNATURE",
    "TWO_SIGNATURES",
    "VERSION_1_REFUSED",
    "INVALID_HEADER",
)
EVERYWHERE = (*SIGNATURE, "INVALID_KEY", "RATE_LIMITED", "BUSY")
_ID = "webjs_1_1763600000_abcd1234"


# --- shapes ---------------------------------------------------------------------------------------
class Event(Shape):
    event = serializers.CharField(max_length=60)
    data = serializers.DictField(help_text="`session_id`, `workspace_id`, and what belongs to the event.")


class OutcomeSerializer(Shape):
    success = serializers.BooleanField()
    outcome = serializers.CharField(help_text="applied, duplicate, stored, or why it moved nothing.")


class BatchRequest(Shape):
    events = serializers.ListField(child=batch.EventOfBatch(), max_length=batch.MOST_EVENTS)


class DoneSerializer(Shape):
    success = serializers.BooleanField()


class BatchAnswer(DoneSerializer):
    results = serializers.ListField(child=serializers.DictField(), help_text="`outcome`, or `status` and `error`.")


class MessageSerializer(DoneSerializer):
    message = serializers.CharField()


class Changed(DoneSerializer):
    changed = serializers.BooleanField()


class RestoreRow(Shape):
    id = serializers.IntegerField()
    session_id = serializers.CharField()
    workspace_id = serializers.IntegerField()


class ActiveRow(RestoreRow):
    phone_number = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(STATES)
    provider_type = serializers.CharField()


class Active(Shape):
    sessions = ActiveRow(many=True)


class SessionStatus(Shape):
    session_id = serializers.CharField()
    status = serializers.ChoiceField(STATES)
    phone_number = serializers.CharField(allow_null=True)
    is_active = serializers.BooleanField()
    last_activity_at = serializers.DateTimeField()
    health_score = serializers.IntegerField(min_value=0, max_value=100)


class AccountData(ActiveRow, SessionStatus):
    pass


class AccountAnswer(DoneSerializer):
    data = AccountData()


class AccountList(DoneSerializer):
    data = AccountData(many=True)


class Stats(Shape):
    cleanups_last_7_days = serializers.IntegerField()
    last_cleanup_at = serializers.DateTimeField(allow_null=True)
    stale_disconnected_count = serializers.IntegerField()
    stale_failed_count = serializers.IntegerField()
    healthy_accounts = serializers.IntegerField()
    low_health_accounts = serializers.IntegerField()


class StatsAnswer(DoneSerializer):
    data = Stats()


class CleanedSerializer(DoneSerializer):
    cleaned_count = serializers.IntegerField()


class Breakdown(Shape):
    qr_scanning = serializers.IntegerField()
    disconnected = serializers.IntegerField()


class CleanedStale(CleanedSerializer):
    breakdown = Breakdown()


class AdviceSerializer(DoneSerializer):
    stop = serializers.ListField(child=serializers.CharField())
    restore = RestoreRow(many=True)


# --- operations -----------------------------------------------------------------------------------
def _described(summary: str, good: dict[int, Any], *codes: str, **more: Any) -> Any:
    everywhere = more.pop("everywhere", EVERYWHERE)
    return extend_schema(summary=summary, tags=["bridges"], responses=answers(good, *codes, *everywhere), **more)


def _header(name: str, text: str) -> OpenApiParameter:
    pattern = {"type": "string", "maxLength": 64, "pattern": "^[!-~]*$"}
    return OpenApiParameter(name, pattern, OpenApiParameter.HEADER, description=text)


def _event(name: str, **data: Any) -> OpenApiExample:
    value = {"event": name, "data": {"workspace_id": 1, "session_id": _ID, **data}}
    return OpenApiExample(name, value, request_only=True)


_ORDER = [
    _header("X-Bridge-Boot", "One run of the bridge."),
    OpenApiParameter(
        "X-Bridge-Sequence",
        {"type": "integer", "minimum": 0, "maximum": 10**17},
        OpenApiParameter.HEADER,
        description="It grows within the run; those of events and of heartbeats are counted apart.",
    ),
]
_IDENTITY = [_header("X-Event-Id", "Stable over retries. Required with version 2 of the signature."), *_ORDER]
_EVENTS = [
    _event("qr_code_generated", qr_text="2@…", expires_in=60, qr_count=1, is_regeneration=False),
    _event("session_authenticated", status="authenticated"),
    _event("session_ready", phone_number="6281234567890", status="connected", platform="android"),
    _event("session_disconnected", reason="NAVIGATION"),
    _event(
        "message_edited", message_id="false_6281234567890@c.us_3EB0", body="At ten, not nine.", timestamp=1795173099
    ),
    _event("message_revoked", message_id="false_6281234567890@c.us_3EB0", timestamp=1795173120),
]
_EVENT = _described(
    "An event of a session",
    {200: OutcomeSerializer},
    *JSON_BODY,
    everywhere=(*SIGNATURE, "RATE_LIMITED", "BUSY"),
    operation_id="webhook",
    description="What was stored is 200, whatever came of it. A bridge that sends no `X-Event-Id` gets 429 `BUSY` "
    "instead of 503: it tries nothing else again.",
    request=Event,
    parameters=_IDENTITY,
    examples=_EVENTS,
)
_WORKSPACE = OpenApiParameter("workspace_id", OpenApiTypes.STR, description="If given: of this workspace only.")
_NUMBER = OpenApiParameter("key", OpenApiTypes.STR, OpenApiParameter.PATH, description="GET: session id; PATCH: id.")
_FAILED = _described(
    "A session could not be restored",
    {200: MessageSerializer},
    *JSON_BODY,
    "NOT_FOUND",
    "REPLAYED",
    request=MarkDisconnected,
)

DESCRIBED: dict[type[APIView], dict[str, Any]] = {
    webjs.WebjsWebhook: {"post": _EVENT},
    batch.WebhookBatch: {
        "post": _described(
            "Up to 500 events, each with an answer of its own",
            {200: BatchAnswer},
            *JSON_BODY,
            request=BatchRequest,
            parameters=_ORDER[:1],
        )
    },
    reports.ChatsSync: {
        "post": _described(
            "All chats of a session; stored",
            {200: OutcomeSerializer},
            *JSON_BODY,
            everywhere=(*SIGNATURE, "RATE_LIMITED", "BUSY"),
            request=OpenApiTypes.OBJECT,
        )
    },
    reports.MobileActivity: {
        "post": extend_schema(
            summary="Unsigned: counted, trusted in nothing",
            tags=["bridges"],
            request=OpenApiTypes.OBJECT,
            responses=answers({202: DoneSerializer}, "BODY_TOO_LARGE"),
        )
    },
    views_sessions.ActiveAccounts: {"get": _described("The sessions to restore", {200: Active})},
    views_sessions.MarkDisconnectedView: {"post": _FAILED},
    views_sessions.AccountBySession: {
        "get": _described("A session and its account", {200: AccountAnswer}, "NOT_FOUND"),
        "patch": _described(
            "Noted: the bridge was heard", {200: AccountAnswer}, *JSON_BODY, "NOT_FOUND", request=requests.HealthNote
        ),
    },
    views_sessions.AccountStatus: {
        "get": _described("How a session is", {200: SessionStatus}, "NOT_FOUND", parameters=[_NUMBER, _WORKSPACE]),
        "patch": _described(
            "End a lapsed attempt",
            {200: Changed},
            *JSON_BODY,
            "STATUS_NOT_ALLOWED",
            "NOT_FOUND",
            request=requests.StatusWish,
            parameters=[_NUMBER],
        ),
    },
    cleanup.AccountsForCleanup: {"get": _described("What a bridge may forget", {200: AccountList})},
    cleanup.CleanupLogs: {"post": _described("Kept", {200: DoneSerializer}, *JSON_BODY, request=requests.CleanupLog)},
    cleanup.CleanupStats: {"get": _described("What was cleaned up", {200: StatsAnswer})},
    cleanup.CleanUp: {
        "post": _described(
            "Clean up accounts in these states",
            {200: CleanedSerializer},
            *JSON_BODY,
            "STATUS_NOT_CLEANABLE",
            "NOT_FOUND",
            request=requests.Cleanup,
        )
    },
    cleanup.CleanUpStale: {
        "post": _described("Clean up what is stale", {200: CleanedStale}, *JSON_BODY, request=requests.StaleCleanup)
    },
    heartbeat.HeartbeatView: {
        "post": _described(
            "What a bridge is and runs",
            {200: AdviceSerializer},
            *JSON_BODY,
            "STALE_HEARTBEAT",
            request=requests.BridgeHeartbeat,
            parameters=_ORDER,
            description="Signed by version 2 it needs `boot` and `X-Bridge-Sequence`; a replay is a 409.",
        )
    },
}


def describe() -> None:
    for view, methods in DESCRIBED.items():
        extend_schema_view(**methods)(view)


# --- fields ---------------------------------------------------------------------------------------
class DecorationField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # its metaclass is untyped
    target_class = "webhooks.events.serializers.OptionalText"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "string", "nullable": True}


class WholeTextField(DecorationField):  # type: ignore[no-untyped-call]  # as above
    target_class = "webhooks.events.fields.WholeText"


class WordsField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # as above
    target_class = "webhooks.events.fields.Words"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "string"}, "nullable": True}


class PhoneField(DecorationField):  # type: ignore[no-untyped-call]  # as above
    target_class = "webhooks.events.fields.BridgePhone"


class WantedPhoneField(DecorationField):  # type: ignore[no-untyped-call]  # as above
    target_class = "webhooks.events.fields.WantedPhone"
