"""Formats log lines, and adds to each the request, event and session that it belongs to.

The request id is set by `api.http.request_id`, event and session by the inbox. Both formatters redact the whole text,
tracebacks included; a filter would see neither those nor what other handlers make of the record.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

from accounts.logs.redaction import redact

_context: ContextVar[Mapping[str, str | int]] = ContextVar("log_context", default=MappingProxyType({}))


@contextmanager
def about(**ids: str | int) -> Iterator[None]:
    """Add ids to every line logged inside: about(request_id=...), about(event_id=..., session_id=...)."""
    before = _context.set(MappingProxyType({**_context.get(), **ids}))
    try:
        yield
    finally:
        _context.reset(before)


class PlainLines(logging.Formatter):
    """Formats for people: time, level, logger, words, and a traceback below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(_with_words(record)))


class JsonLines(logging.Formatter):
    """Formats for programs: one JSON object a line, whatever the text contains."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(_with_words(record).getMessage()),
        }
        line |= {name: redact(value) if isinstance(value, str) else value for name, value in _context.get().items()}
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = redact(self.formatStack(record.stack_info))
        return json.dumps(line)  # ASCII: no line separator and no half of a surrogate pair gets through


def _with_words(record: logging.LogRecord) -> logging.LogRecord:
    """A record that can be formatted: for any other, logging prints all arguments to stderr, past every filter."""
    try:
        record.getMessage()
    except Exception as error:
        fields = vars(record) | {"msg": f"{record.msg!r} cannot be formatted: {type(error).__name__}", "args": ()}
        return logging.makeLogRecord(fields)
    return record
