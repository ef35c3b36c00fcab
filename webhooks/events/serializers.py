"""The data of each event (docs/bridge-api.md, "Events"): what must be there, and what fits into our columns."""

from typing import Any

from rest_framework import serializers

from accounts import phones, qr

GROUP_FIELDS = ("group_id", "group_name", "participants", "sender_phone", "sender_name")
MAX_GROUP = 100_000  # characters; a group of 1,024 participants is about 30,000


class Text(serializers.CharField):
    """Text as it was sent: nothing is trimmed, and an empty text is valid unless `allow_blank` says no."""

    def __init__(self, max_length: int, *, allow_blank: bool = True, **options: Any) -> None:
        super().__init__(max_length=max_length, allow_blank=allow_blank, trim_whitespace=False, **options)


class OptionalText(serializers.Field):  # type: ignore[type-arg]  # generic in the stubs only
    """Text that must not cost the event: absent, null or of another type it becomes empty, too long it is cut."""

    def __init__(self, max_length: int) -> None:
        super().__init__(required=False, allow_null=True, default="")
        self.max_length = max_length

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        return super().validate_empty_values("" if data is None else data)

    def to_internal_value(self, data: Any) -> str:
        return data[: self.max_length] if isinstance(data, str) else ""

    def to_representation(self, value: str) -> str:
        return value


class BridgePhone(OptionalText):
    """A phone as bridges write it (phones.reported). One that cannot be read is empty; with `strict` it is refused."""

    def __init__(self, *, strict: bool = False) -> None:
        super().__init__(max_length=64)
        self.strict = strict

    def to_internal_value(self, data: Any) -> str:
        phone = phones.reported(data)
        if self.strict and data and not phone:
            phones.validate(phone)
        return phone


class Envelope(serializers.Serializer[Any]):
    event = serializers.CharField(max_length=60)
    data = serializers.DictField()  # type: ignore[assignment]  # the metaclass takes fields off the class


class Addressed(serializers.Serializer[Any]):
    session_id = Text(191)


class QrCodeGenerated(serializers.Serializer[Any]):
    """`qr` is drawn here, before any lock; it is None in a retry from the inbox, which keeps no codes."""

    qr_code = OptionalText(90_000)
    qr_text = OptionalText(2_001)  # a cut one would be another code: above 2,000 it is refused
    expires_in = serializers.IntegerField(min_value=1, max_value=3600, default=60)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        text, url = attrs["qr_text"], attrs["qr_code"]
        try:
            drawn = qr.from_text(text) if text else qr.from_data_url(url) if url else None
        except qr.BadQr as error:
            raise serializers.ValidationError({"qr_code": str(error)}) from error
        return {"qr": drawn, "expires_in": attrs["expires_in"]}


class SessionAuthenticated(serializers.Serializer[Any]):
    device_jid = OptionalText(64)


class SessionReady(serializers.Serializer[Any]):
    phone_number = BridgePhone()
    device_jid = OptionalText(64)
    platform = OptionalText(32)


class SessionError(serializers.Serializer[Any]):
    error = Text(191)
    phone_number = BridgePhone()


class SessionDisconnected(serializers.Serializer[Any]):
    reason = OptionalText(500)


class ActionRequired(serializers.Serializer[Any]):
    kind = OptionalText(60)
    message = OptionalText(2_000)


class PairingCodeGenerated(serializers.Serializer[Any]):
    pairing_code = Text(16, required=False, default="")
    expires_in = serializers.IntegerField(min_value=1, max_value=3600, default=60)


class Nothing(serializers.Serializer[Any]):
    """An event without data: its name says all."""


class Media(serializers.Serializer[Any]):
    data = Text(30_000_000)  # type: ignore[assignment]  # as above
    mimetype = OptionalText(127)
    filename = OptionalText(255)


class ChatMessage(serializers.Serializer[Any]):
    id = Text(255, allow_blank=False)
    to = OptionalText(255)
    body = OptionalText(200_000)
    timestamp = serializers.IntegerField(min_value=0, max_value=253_402_300_799, required=False, default=None)
    from_me = serializers.BooleanField(default=False)
    type = OptionalText(40)
    has_media = serializers.BooleanField(default=False)
    chat_type = OptionalText(16)
    media = Media(required=False, allow_null=True, default=None)

    def get_fields(self) -> dict[str, Any]:
        return super().get_fields() | {"from": OptionalText(255)}  # a keyword of Python

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        fields: dict[str, Any] = super().to_internal_value(data)
        fields["group"] = {key: data[key] for key in GROUP_FIELDS if key in data}
        if len(str(fields["group"])) > MAX_GROUP:
            raise serializers.ValidationError({"participants": "There are too many."})
        return fields


class MessageEvent(serializers.Serializer[Any]):
    message = ChatMessage()


class MessageStatus(serializers.Serializer[Any]):
    message_id = Text(255, allow_blank=False)
    ack_level = serializers.IntegerField(min_value=-1, max_value=10)


class MessageAck(serializers.Serializer[Any]):
    message_id = Text(255, allow_blank=False)


class MarkDisconnected(serializers.Serializer[Any]):
    workspace_id = serializers.CharField(required=False, max_length=40)
    reason = OptionalText(500)
