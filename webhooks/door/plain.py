"""The data of an event in its ordinary shape, read in a fiftieth of the time that its serializer takes.

The reader of a shape is made from the serializer's own fields. It gives what the serializer gives, or raises NotPlain
where a value needs the serializer: then nothing is decided here. tests/webhooks/test_plain.py compares the two.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers

from webhooks.events.fields import LATEST, EventData, FittingList, Flag, Moment, OptionalText, Text, WholeNumber
from webhooks.events.serializers import ChatMessage, SentChatMessage

Reader = Callable[[Any], Any]


class NotPlain(ValueError):
    """Only the serializer can say what this is."""


def reader_of(shape: type[EventData]) -> Reader:
    """Return a function from an event's data, as it came, to its fields. It raises NotPlain."""
    read = _reader_of_object(shape())
    return lambda data: read(data) | {"emptied": ""}


def _reader_of_object(shape: serializers.Serializer[Any]) -> Reader:
    parts = [(name, field.required, field.get_default, _reader_of(field)) for name, field in _fields_of(shape)]
    finish = shape.finished if isinstance(shape, ChatMessage) else lambda fields, data: fields

    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise NotPlain
        fields = {}
        for name, is_required, default, reader in parts:
            if name in data:
                fields[name] = reader(data[name])
            elif is_required:
                raise NotPlain
            else:
                fields[name] = default()
        return finish(fields, data)

    return read


def _fields_of(shape: serializers.Serializer[Any]) -> list[tuple[str, Any]]:
    """`get_default` of a required field raises: it is never called."""
    return list(shape.fields.items())


def _reader_of(field: Any) -> Reader:
    return READERS.get(type(field), _never)(field)


def _never(field: Any) -> Reader:
    def read(data: Any) -> Any:
        raise NotPlain

    return read


def _text(field: Any) -> Reader:
    longest, shortest = field.max_length, 0 if getattr(field, "allow_blank", True) else 1

    def read(data: Any) -> Any:
        if type(data) is not str or not shortest <= len(data) <= longest:
            raise NotPlain
        return data

    return read


def _flag(field: Any) -> Reader:
    def read(data: Any) -> Any:
        if type(data) is not bool:
            raise NotPlain
        return data

    return read


def _whole_number(field: Any) -> Reader:
    def read(data: Any) -> Any:
        if type(data) is not int or not field.min_value <= data <= field.max_value:
            raise NotPlain
        return data

    return read


def _moment(field: Any) -> Reader:
    """Whole seconds."""

    def read(data: Any) -> Any:
        if type(data) is not int or not field.earliest <= data <= LATEST:
            raise NotPlain
        return datetime.fromtimestamp(data, UTC)

    return read


def _list(field: Any) -> Reader:
    def read(data: Any) -> Any:
        if type(data) is not list or sum(len(str(entry)) + 2 for entry in data) > field.max_size:
            raise NotPlain
        return data

    return read


READERS: dict[type, Callable[[Any], Reader]] = {
    Text: _text,
    OptionalText: _text,
    Flag: _flag,
    WholeNumber: _whole_number,
    Moment: _moment,
    FittingList: _list,
    ChatMessage: _reader_of_object,
    SentChatMessage: _reader_of_object,
}
