"""The bodies of what bridges ask and report besides events (docs/bridge-api.md): ranges, and what fits our columns."""

from typing import Any

from rest_framework import serializers

from accounts.housekeeping.cleanup import CLEANABLE
from accounts.lifecycle import Status
from api.http.errors import ApiError
from api.http.strict_json import MAX_INTEGER
from webhooks.events.fields import BridgePhone, Flag, OptionalText, Text, WantedPhone, WholeNumber, WholeText, Words

MAX_SESSIONS = 5_000  # of one bridge; SQLite takes 32,766 values in one statement
LINKED = frozenset({Status.AUTHENTICATED, Status.CONNECTED})


class StatusWish(serializers.Serializer[Any]):
    """The status that the bridge wants for the account. It is read, not obeyed: only events connect an account."""

    status = Text(32, allow_blank=False)
    reason = OptionalText(500)
    last_cleanup_at = serializers.DateTimeField(required=False, allow_null=True)

    def validate_status(self, status: str) -> str:
        if status in LINKED:
            raise ApiError(400, "STATUS_NOT_ALLOWED", f"Only events of its session make an account {status}.")
        return status


class HealthNote(serializers.Serializer[Any]):
    """The health score of a bridge. A Node bridge always says 0, so nothing uses it."""

    health_score = serializers.IntegerField(min_value=0, max_value=100, required=False, allow_null=True)
    last_health_check_at = serializers.DateTimeField(required=False, allow_null=True)


class CleanupLog(serializers.Serializer[Any]):
    whatsapp_account_id = serializers.IntegerField(min_value=1, max_value=MAX_INTEGER, required=False, allow_null=True)
    action = Text(50, allow_blank=False)
    status = Text(20, allow_blank=False)
    reason = OptionalText(2_000)
    metadata = serializers.DictField(required=False, allow_null=True)


class Cleanup(serializers.Serializer[Any]):
    workspace_id = serializers.IntegerField(min_value=1, max_value=MAX_INTEGER)
    phone_number = WantedPhone()  # without it, all phones are meant
    cleanup_statuses = serializers.ListField(child=Text(32), allow_empty=False, max_length=len(Status))

    def validate_cleanup_statuses(self, statuses: list[str]) -> list[str]:
        refused = sorted(set(statuses) - set(CLEANABLE))
        if refused:
            allowed = ", ".join(CLEANABLE)
            raise ApiError(400, "STATUS_NOT_CLEANABLE", f"Not cleaned up: {refused[0]}. These are: {allowed}.")
        return statuses


class StaleCleanup(serializers.Serializer[Any]):
    stale_threshold_minutes = serializers.IntegerField(min_value=5, max_value=1440, default=30)
    disconnect_threshold_hours = serializers.IntegerField(min_value=1, max_value=168, default=24)


class RunningSession(serializers.Serializer[Any]):
    session_id = Text(191, allow_blank=False)
    status = OptionalText(32)
    phone_number = BridgePhone()


class BridgeHeartbeat(serializers.Serializer[Any]):
    """Its list decides, and nothing else costs it."""

    library = OptionalText(60)
    version = OptionalText(40)
    capacity = WholeNumber(0, 100_000)
    capabilities = Words(at_most=32, longest=40)
    boot = WholeText(64)
    draining = Flag()
    sessions = serializers.ListField(child=RunningSession(), max_length=MAX_SESSIONS)
