"""The path of a linking page is its secret: whoever writes paths into a log writes this one without its token."""

import logging
import re
from typing import Any

from daphne.access import AccessLogGenerator

# Those that log a request's path: Django for every 4xx and 5xx, daphne for what it had to kill.
LOGGERS = ("django.request", "django.security.csrf", "daphne.server", "daphne.http_protocol", "daphne.ws_protocol")
_TOKEN = re.compile(r"(/link/)[^/\s'\"?]+")


def hide_tokens(text: str) -> str:
    return _TOKEN.sub(r"\1...", text)


class HideTokens(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = hide_tokens(record.getMessage()), ()
        return True


def install() -> None:
    """Once per process, when the apps are ready."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(HideTokens())
    # Daphne's access log, on by default, has no hook.
    write_entry = AccessLogGenerator.write_entry

    def write_redacted(log: Any, *, request: str, **entry: Any) -> None:
        write_entry(log, request=hide_tokens(request), **entry)

    AccessLogGenerator.write_entry = write_redacted
