"""Each event has a serializer for its data and a handler. New events are added here and nowhere else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accounts.pairing import bridge_events, confirmation
from accounts.pairing.bridge_events import Outcome
from webhooks.events import messages, restrictions, serializers
from webhooks.events.fields import EventData

Data = dict[str, Any]


@dataclass(frozen=True)
class Handler:
    """`apply` takes the session's primary key and the validated data."""

    shape: type[EventData]
    apply: Callable[[int, Data], Outcome]


def _qr(session_pk: int, data: Data) -> Outcome:
    if data["qr"] is None:
        return bridge_events.code_unreadable(session_pk)
    return bridge_events.qr_shown(session_pk, qr=data["qr"], expires_in=data["expires_in"])


def _authenticated(session_pk: int, data: Data) -> Outcome:
    return bridge_events.authenticated(session_pk, device_jid=data["device_jid"])


def _ready(session_pk: int, data: Data) -> Outcome:
    return confirmation.ready(
        session_pk, phone=data["phone_number"], device_jid=data["device_jid"], platform=data["platform"]
    )


def _error(session_pk: int, data: Data) -> Outcome:
    """`webhook_send_failed` is good news: the session is connected, only its `session_ready` was lost."""
    if data["error"] == "webhook_send_failed":
        return confirmation.ready(
            session_pk, phone=data["phone_number"], device_jid="", platform="", trigger="webhook_send_failed"
        )
    if data["error"] == "phone_extraction_failed":
        return confirmation.phone_unknown(session_pk)
    return Outcome.NO_CHANGE


def _disconnected(session_pk: int, data: Data) -> Outcome:
    return bridge_events.disconnected(session_pk, reason=data["reason"])


def _given_up(session_pk: int, data: Data) -> Outcome:
    return bridge_events.given_up(session_pk, reason=data["reason"])


def _action_required(session_pk: int, data: Data) -> Outcome:
    return bridge_events.action_required(session_pk, message=data["message"] or data["kind"])


def _pairing_code(session_pk: int, data: Data) -> Outcome:
    if not data["pairing_code"]:
        return bridge_events.code_unreadable(session_pk)
    return bridge_events.pairing_code_shown(session_pk, code=data["pairing_code"], expires_in=data["expires_in"])


def _nothing(session_pk: int, data: Data) -> Outcome:
    """`session_reconnected` is sent although the client is destroyed: only `session_ready` means connected."""
    return Outcome.NO_CHANGE


LIFECYCLE: dict[str, Handler] = {
    "qr_code_generated": Handler(serializers.QrCodeGenerated, _qr),
    "session_authenticated": Handler(serializers.SessionAuthenticated, _authenticated),
    "session_ready": Handler(serializers.SessionReady, _ready),
    "session_error": Handler(serializers.SessionError, _error),
    "session_disconnected": Handler(serializers.SessionDisconnected, _disconnected),
    "session_reconnected": Handler(serializers.Nothing, _nothing),
    "session_reconnect_failed": Handler(serializers.Nothing, _nothing),
    "session_expired": Handler(serializers.SessionDisconnected, _given_up),
    "session_action_required": Handler(serializers.ActionRequired, _action_required),
    "pairing_code_generated": Handler(serializers.PairingCodeGenerated, _pairing_code),
    "session_restricted": Handler(restrictions.Restricted, restrictions.apply),
}
MESSAGES: dict[str, Handler] = {
    "message_received": Handler(serializers.MessageEvent, messages.received),
    "message_sent": Handler(serializers.MessageSent, messages.received),
    "message_status_updated": Handler(serializers.MessageStatus, messages.status_updated),
    "message_delivered": Handler(serializers.MessageAck, messages.delivered),
    "message_read": Handler(serializers.MessageAck, messages.read),
    "message_edited": Handler(serializers.MessageEdited, messages.edited),
    "message_revoked": Handler(serializers.MessageRevoked, messages.revoked),
}
HANDLED = frozenset([*LIFECYCLE, *MESSAGES])
# These events are known, and dropped because they are of no use afterwards.
DROPPED = frozenset({"typing_indicator", "chat_state_updated"})

# These events reach the account also after a soft end, which a scan that was under way takes back (rule "Soft ends").
REOPENING = frozenset({"session_authenticated", "session_ready", "session_error"})
# These events say that a link is gone. A `session_ready` that is older than one of them must not undo it.
LOSING = frozenset({"session_error", "session_disconnected", "session_expired"})
# These events set an account back. A retry of one must not undo what came after it.
DEMOTING = LOSING | {"qr_code_generated", "session_action_required", "pairing_code_generated"}
# Only a running client sends these events, so one whose session has ended here is stopped.
LIVING = frozenset(
    {
        "qr_code_generated",
        "session_authenticated",
        "session_ready",
        "session_error",
        "session_reconnected",
        "session_action_required",
        "session_restricted",
        *MESSAGES,
    }
)
# The inbox never keeps these fields: they link a phone, and are worth nothing a minute later.
SECRETS = frozenset({"qr_code", "qr_text", "qr", "pairing_code"})
# These events are nothing without their code, so a try from the inbox has nothing to apply.
CODES = frozenset({"qr_code_generated", "pairing_code_generated"})
