"""Fields of what bridges send. A Node bridge sends an event once, so only what decides may cost it.

Decoration that is missing, null, of another type or out of range becomes the field's default or is brought into range,
and is named in `emptied` beside the fields that were read (`EventData`).
"""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.dateparse import parse_datetime
from rest_framework import serializers
from rest_framework.fields import empty

from accounts import phones, shown_codes

LATEST = 100_000_000_000  # as Unix seconds the year 5138, as milliseconds 1973: what is larger is milliseconds


class Text(serializers.CharField):
    """Text as it was sent: nothing is trimmed, and an empty text is valid unless `allow_blank` says no."""

    def __init__(self, max_length: int, *, allow_blank: bool = True, **options: Any) -> None:
        super().__init__(max_length=max_length, allow_blank=allow_blank, trim_whitespace=False, **options)


class EventData(serializers.Serializer[Any]):
    """The data of an event. `emptied` names the fields whose values were not taken as they came."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.noted: list[str] = []

    def run_validation(self, data: Any = empty) -> Any:
        fields = super().run_validation(data)
        return fields | {"emptied": ", ".join(dict.fromkeys(self.noted))}


class Decoration(serializers.Field):  # type: ignore[type-arg]  # generic in the stubs only
    """A field that must not cost the event. It needs a default."""

    def run_validation(self, data: Any = empty) -> Any:
        try:
            return super().run_validation(data)
        except (serializers.ValidationError, DjangoValidationError, ValueError, OverflowError):
            return self.emptied()

    def emptied(self) -> Any:
        self.note()
        return self.get_default()

    def note(self) -> None:
        if isinstance(self.root, EventData):
            self.root.noted.append(".".join(_names(self)))

    def to_representation(self, value: Any) -> Any:
        return value


def _names(field: Any) -> Iterator[str]:
    if field.parent is not None:
        yield from _names(field.parent)
        yield field.field_name


class OptionalText(Decoration):
    """A number becomes text, and what is too long is cut."""

    def __init__(self, max_length: int, *, default: str | None = "") -> None:
        super().__init__(default=default)
        self.max_length = max_length

    def to_internal_value(self, data: Any) -> str:
        text = shown_codes.text_of(data)
        if len(text) > self.max_length:
            self.note()
        return text[: self.max_length]


class WholeText(OptionalText):
    """An id or a code, which means something only whole."""

    def to_internal_value(self, data: Any) -> str:
        return shown_codes.whole(data, longest=self.max_length)


class TypedCode(OptionalText):
    def __init__(self) -> None:
        super().__init__(shown_codes.LONGEST_TYPED)

    def to_internal_value(self, data: Any) -> str:
        return shown_codes.typed(data)


class BridgePhone(Decoration):
    """A phone as bridges write it (phones.reported). Empty if it cannot be read."""

    def __init__(self) -> None:
        super().__init__(default="")

    def to_internal_value(self, data: Any) -> str:
        phone = phones.reported(data)
        if not phone:
            raise serializers.ValidationError("It is no phone.")
        return phone


class WantedPhone(serializers.Field):  # type: ignore[type-arg]  # as above
    """The phone that is meant; None if all are, which only null or nothing says. Any other value must be a phone."""

    def __init__(self) -> None:
        super().__init__(required=False, allow_null=True, default=None)

    def to_internal_value(self, data: Any) -> str:
        phone = phones.reported(data)
        if not phone:
            raise serializers.ValidationError("It is no phone number.")
        return phone


class Flag(Decoration, serializers.BooleanField):
    def __init__(self, *, default: bool = False) -> None:
        super().__init__(default=default)


class WholeNumber(Decoration, serializers.IntegerField):
    """None where no number of this range can be read."""

    def __init__(self, lowest: int, highest: int) -> None:
        super().__init__(min_value=lowest, max_value=highest, default=None)


class Moment(Decoration):
    """Unix seconds, whole or not, or ISO 8601; milliseconds are known by their size. None where no time can be read,
    or one before `earliest` (Unix seconds)."""

    def __init__(self, *, earliest: int = 0) -> None:
        super().__init__(default=None)
        self.earliest = earliest

    def to_internal_value(self, data: Any) -> datetime:
        seconds = _seconds(shown_codes.text_of(data))
        if seconds > LATEST:
            self.note()
            seconds /= 1000
        if not self.earliest <= seconds <= LATEST:
            raise serializers.ValidationError("It is no time.")
        return datetime.fromtimestamp(seconds, UTC)


def _seconds(text: str) -> float:
    """A text that is no number is read as ISO 8601, in UTC where it names no zone. Raises ValueError."""
    try:
        return float(text)
    except ValueError:
        moment = parse_datetime(text.strip())
    if moment is None:
        raise ValueError("It is no time.")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class Lifetime(Decoration):
    """For how many seconds a code may be shown."""

    def __init__(self) -> None:
        super().__init__(default=shown_codes.SHOWN)

    def to_internal_value(self, data: Any) -> int:
        seconds = shown_codes.lifetime(data)
        if seconds != data:
            self.note()
        return seconds


class FittingList(Decoration):
    """A list, of which as much is kept as fits into so many characters."""

    def __init__(self, max_size: int) -> None:
        super().__init__(default=list)
        self.max_size = max_size

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            raise serializers.ValidationError("It is no list.")
        sizes = accumulate(len(str(entry)) + 2 for entry in data)
        kept = [entry for entry, size in zip(data, sizes, strict=True) if size <= self.max_size]
        if len(kept) < len(data):
            self.note()
        return kept


class Words(Decoration):
    """A list of short texts, without those that are none; None where there is no list."""

    def __init__(self, *, at_most: int, longest: int) -> None:
        super().__init__(default=None)
        self.at_most, self.longest = at_most, longest

    def to_internal_value(self, data: Any) -> list[str]:
        if not isinstance(data, list):
            raise serializers.ValidationError("It is no list.")
        words = [word for word in data if isinstance(word, str) and 0 < len(word) <= self.longest]
        return words[: self.at_most]


class Base64(serializers.Field):  # type: ignore[type-arg]  # as above
    """A file. Its bytes are decoded here, before any lock."""

    def __init__(self, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length

    def to_internal_value(self, data: Any) -> bytes:
        text = shown_codes.text_of(data)
        try:
            content = base64.b64decode(text, validate=True)
        except ValueError as error:  # binascii.Error, or a plain one if the text is not ASCII
            raise serializers.ValidationError("It is not base64.") from error
        if not content or len(text) > self.max_length:
            raise serializers.ValidationError("It is empty or too long.")
        return content
