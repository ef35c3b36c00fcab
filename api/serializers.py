"""Requests and answers of the operator API. Requests are checked by these serializers; answers are only described, and
the suite compares them with the description (tests/api/test_schema_conformance.py)."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from accounts.lifecycle import PAIRING, Status
from accounts.models import AccountNotice
from api.http.errors import ApiError
from api.http.strict_json import MAX_INTEGER, parse_object

Shape = serializers.Serializer[Any]
PLACE = "In the line before a busy bridge: 1 is next, 0 is not in line. The QR code appears by itself."
PHONE = "With its country code; where the workspace has a country, also as it is written there."
STATES = [status.value for status in Status]
BRIDGE_STATES = ["heard", "silent", "never_heard"]
WORKER_STATES = ["up", "late", "stuck", "never_started"]  # the worst one last
PAIRING_STATES = [status.value for status in Status if status in PAIRING]


def read(shape: type[Shape], request: Request) -> dict[str, Any]:
    """Check the query of a GET, or the JSON object of others. Raises ApiError 400 and 415, and ValidationError."""
    if request.method == "GET":
        given: dict[str, Any] = request.query_params.dict()
    else:
        named = {name: request.query_params[name] for name in ["workspace_id"] if name in request.query_params}
        given = named | _body(request)
    return checked(shape, given)


def checked(shape: type[Shape], data: Any) -> dict[str, Any]:
    """Validate the data by `shape`. Raises ValidationError, and ApiError where a field has a code of its own."""
    filled = shape(data=data)
    filled.is_valid(raise_exception=True)
    return dict(filled.validated_data)


def _body(request: Request) -> dict[str, Any]:
    """Parse the raw bytes: DRF's own parser would read a chunked body as empty."""
    if not request.body:
        return {}
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "Send JSON, as Content-Type: application/json.")
    return parse_object(request.body)


def _workspace(**options: Any) -> serializers.IntegerField:
    text = "A staff login must say which workspace it means. With a token: that of the token, or nothing."
    return serializers.IntegerField(min_value=1, max_value=MAX_INTEGER, help_text=text, **options)


# --- taken ----------------------------------------------------------------------------------------
class Named(Shape):
    workspace_id = _workspace(required=False)


class PairRequest(Named):
    phone_number = serializers.CharField(required=False, max_length=40, help_text=PHONE)
    account = serializers.UUIDField(required=False)
    label = serializers.CharField(required=False, max_length=120, allow_blank=True, help_text="For a new account.")
    force = serializers.BooleanField(required=False, help_text="Replace an attempt that waits for its scan.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "account" in attrs and "phone_number" in attrs:
            raise serializers.ValidationError({"account": "Name the account or its phone number, not both."})
        return attrs


class FreshCodeRequest(Shape):
    workspace_id = _workspace()
    phone_number = serializers.CharField(required=False, max_length=40, help_text=PHONE)


class WhichPairing(Named):
    account = serializers.UUIDField()


class ResetRequest(Named):
    account = serializers.UUIDField(required=False, help_text="Without it: every pairing in progress.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse unknown names: a misspelt `account` would otherwise mean all accounts."""
        text = "Reset knows no such field. Name the account, or nothing for every pairing in progress."
        if unknown := set(self.initial_data) - set(self.fields):
            raise serializers.ValidationError(dict.fromkeys(sorted(unknown), text))
        return attrs


# --- given ----------------------------------------------------------------------------------------
class PairedData(Shape):
    account = serializers.UUIDField()
    session_id = serializers.CharField()
    status = serializers.ChoiceField([*PAIRING_STATES, Status.DISCONNECTED])
    expires_in = serializers.IntegerField(min_value=1, help_text="Seconds until the attempt lapses.")
    place = serializers.IntegerField(min_value=0, help_text=PLACE)
    link_url = serializers.CharField(
        help_text="The page to open on the screen that the phone scans; empty for staff who may not invite."
    )


class PairedSerializer(Shape):
    success = serializers.BooleanField()
    data = PairedData()


class PairingData(Shape):
    account = serializers.UUIDField()
    session_id = serializers.CharField()
    status = serializers.ChoiceField(PAIRING_STATES)
    expires_in = serializers.FloatField(allow_null=True, help_text="Seconds until the attempt lapses.")
    place = serializers.IntegerField(min_value=0, help_text=PLACE)
    qr_svg = serializers.CharField(allow_blank=True, help_text="The QR code as SVG; empty while there is none.")
    qr_png_url = serializers.CharField(allow_blank=True, help_text="A data: URL, where the bridge sends only an image.")
    qr_expires_in = serializers.FloatField(allow_null=True, help_text="Seconds until this code is no longer good.")
    qr_count = serializers.IntegerField()
    pairing_code = serializers.CharField(allow_blank=True)
    action_message = serializers.CharField(allow_blank=True, help_text="What the phone asks for.")


class Pairing(Shape):
    success = serializers.BooleanField()
    data = PairingData()


class ResetData(Shape):
    reset = serializers.IntegerField(help_text="How many accounts were reset.")


class Reset(Shape):
    success = serializers.BooleanField()
    data = ResetData()


class BridgeRowSerializer(Shape):
    name = serializers.CharField()
    state = serializers.ChoiceField(BRIDGE_STATES)
    library = serializers.CharField(allow_blank=True)
    version = serializers.CharField(allow_blank=True)
    advisory = serializers.ChoiceField(
        ["bad", "warn", ""], help_text="What is known of this version of the library; bad: it gets no new sessions."
    )
    draining = serializers.BooleanField()
    has_room = serializers.BooleanField(help_text="It may take one more session.")
    active_sessions = serializers.IntegerField(help_text="Of this workspace.")
    last_heard_at = serializers.DateTimeField(allow_null=True)


class LaneStateSerializer(Shape):
    lane = serializers.CharField()
    state = serializers.ChoiceField(WORKER_STATES)
    seconds_silent = serializers.IntegerField(allow_null=True, help_text="Since a worker of this lane last answered.")
    seconds_late = serializers.IntegerField()
    waiting = serializers.IntegerField()


class WorkerStateSerializer(Shape):
    state = serializers.ChoiceField(WORKER_STATES, help_text="Of the lane that is worst off.")
    seconds_late = serializers.IntegerField(help_text="By how much the oldest work is overdue.")
    waiting = serializers.IntegerField(help_text="Tasks that are due.")
    lanes = LaneStateSerializer(many=True)


class Manager(Shape):
    isPairing = serializers.BooleanField()
    isPaired = serializers.BooleanField(help_text="At least one account is connected.")
    pairingStartTime = serializers.DateTimeField(allow_null=True, help_text="Of the oldest pairing in progress.")
    currentDeviceId = serializers.CharField(allow_null=True, help_text="Of the link that connected last.")
    activeConnections = serializers.IntegerField()
    active_sessions = serializers.IntegerField(help_text="Open sessions: connected, pairing or expected back.")


class Service(Shape):
    manager = Manager()
    bridges = BridgeRowSerializer(many=True)
    database = serializers.ChoiceField(["up"])
    queue = WorkerStateSerializer()


class Tenant(Shape):
    workspace_id = serializers.IntegerField()
    name = serializers.CharField()
    accounts = serializers.IntegerField()
    by_status = serializers.DictField(child=serializers.IntegerField())


class NoticeRowSerializer(Shape):
    kind = serializers.ChoiceField(AccountNotice.Kind.values)
    text = serializers.CharField(
        allow_blank=True, help_text="What the bridge said; of a link that flaps, its reasons for the last losses."
    )
    count = serializers.IntegerField(help_text="How often the link was lost, or the restriction was told.")
    since = serializers.DateTimeField()
    last_at = serializers.DateTimeField(help_text="When it was last lost, or told.")
    until = serializers.DateTimeField(allow_null=True, help_text="When it is over, if no event says so before.")


class AccountRowSerializer(Shape):
    account = serializers.UUIDField()
    label = serializers.CharField(allow_blank=True)
    phone_number = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(STATES)
    status_changed_at = serializers.DateTimeField()
    session_id = serializers.CharField(allow_null=True, help_text="Of the latest attempt, open or ended.")
    last_seen_at = serializers.DateTimeField(allow_null=True)
    notices = NoticeRowSerializer(many=True, help_text="What else holds now; the status stays what it is.")


class StatusData(Shape):
    service = Service()
    tenant = Tenant()
    accounts = AccountRowSerializer(many=True)


class StatusAnswer(Shape):
    success = serializers.BooleanField()
    data = StatusData()


class HealthData(Shape):
    pairing_active = serializers.BooleanField()
    database = serializers.ChoiceField(["up"])
    cache = serializers.ChoiceField(["up", "down", "in_process"])
    worker = WorkerStateSerializer()
    bridges = BridgeRowSerializer(many=True)


class HealthAnswer(Shape):
    success = serializers.BooleanField()
    data = HealthData()
