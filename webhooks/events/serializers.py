"""The data of each event (docs/bridge-api.md, "Events"): what must be there, and what fits into our columns.

Required are the event's name, its session and a message's id. A handler is told what else decides and cannot be read:
a phone as "", a code or a level as None.
"""

from collections.abc import Callable
from typing import Any

from rest_framework import serializers

from accounts import qr
from webhooks.events.fields import (
    Base64,
    BridgePhone,
    Decoration,
    EventData,
    FittingList,
    Flag,
    Lifetime,
    Moment,
    OptionalText,
    Text,
    TypedCode,
    WholeNumber,
    WholeText,
)

GROUP_FIELDS = ("group_id", "group_name", "participants", "sender_phone", "sender_name")
MAX_GROUP = 100_000  # characters; a group of 1,024 participants is about 30,000
# The texts that say what an event is about: nothing in them is replaced (api/http/strict_json.py).
EXACT = frozenset({("event",), ("data", "session_id"), ("data", "message_id"), ("data", "message", "id")})


class Envelope(serializers.Serializer[Any]):
    event = serializers.CharField(max_length=60)
    data = serializers.DictField()  # type: ignore[assignment]  # the metaclass takes fields off the class


class Addressed(serializers.Serializer[Any]):
    session_id = Text(191)


class QrCodeGenerated(EventData):
    """`qr` is drawn here, before any lock; it is None if neither the text nor the picture can be shown."""

    qr_code = WholeText(90_000)
    qr_text = WholeText(qr.MAX_TEXT)
    expires_in = Lifetime()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {
            "qr": _drawn(qr.from_text, attrs["qr_text"]) or _drawn(qr.from_data_url, attrs["qr_code"]),
            "expires_in": attrs["expires_in"],
        }


def _drawn(draw: Callable[[str], qr.Qr], code: str) -> qr.Qr | None:
    try:
        return draw(code) if code else None
    except qr.BadQr:
        return None


class SessionAuthenticated(EventData):
    device_jid = OptionalText(64)


class SessionReady(EventData):
    phone_number = BridgePhone()
    device_jid = OptionalText(64)
    platform = OptionalText(32)


class SessionError(EventData):
    error = OptionalText(191)
    phone_number = BridgePhone()


class SessionDisconnected(EventData):
    reason = OptionalText(500)


class ActionRequired(EventData):
    kind = OptionalText(60)
    message = OptionalText(2_000)


class PairingCodeGenerated(EventData):
    pairing_code = TypedCode()
    expires_in = Lifetime()


class Nothing(EventData):
    """An event without data: its name says all."""


class Media(Decoration, serializers.Serializer[Any]):
    data = Base64(30_000_000)  # type: ignore[assignment]  # as above
    mimetype = OptionalText(127)
    filename = OptionalText(255)


class ChatMessage(serializers.Serializer[Any]):
    id = Text(255, allow_blank=False)
    to = OptionalText(255)
    body = OptionalText(200_000)
    timestamp = Moment()
    from_me = Flag()
    type = OptionalText(40)
    has_media = Flag()
    chat_type = OptionalText(16)
    media = Media(default=None)
    group_id = OptionalText(255)
    group_name = OptionalText(255)
    participants = FittingList(MAX_GROUP)
    sender_phone = OptionalText(255)
    sender_name = OptionalText(255)

    def get_fields(self) -> dict[str, Any]:
        return super().get_fields() | {"from": OptionalText(255)}  # a keyword of Python

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        return self.finished(super().to_internal_value(data), data)

    @staticmethod
    def finished(fields: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Put what is about the group into one field, as far as it was sent."""
        group = {key: fields.pop(key) for key in GROUP_FIELDS}
        return fields | {"group": {key: value for key, value in group.items() if key in data}}


class SentChatMessage(ChatMessage):
    from_me = Flag(default=True)


class MessageEvent(EventData):
    message = ChatMessage()


class MessageSent(EventData):
    message = SentChatMessage()


class MessageStatus(EventData):
    message_id = Text(255, allow_blank=False)
    ack_level = WholeNumber(-1, 10)  # WhatsApp's levels, with room for more


class MessageAck(EventData):
    message_id = Text(255, allow_blank=False)


class MessageEdited(EventData):
    """`body` is None if no new text can be read; an empty one is a text."""

    message_id = Text(255, allow_blank=False)
    body = OptionalText(200_000, default=None)
    timestamp = Moment()


class MessageRevoked(EventData):
    message_id = Text(255, allow_blank=False)
    timestamp = Moment()


class MarkDisconnected(serializers.Serializer[Any]):
    workspace_id = serializers.CharField(required=False, allow_null=True, max_length=40)
    reason = OptionalText(500)
