"""`session_restricted`: WhatsApp restricts an account that stays connected (docs/bridge-api.md, "Restrictions").

Only the session decides. All else is read as far as it can be: a notice with less in it is better than none.
"""

from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from rest_framework import serializers

from accounts.models import AccountNotice
from accounts.pairing import restrictions
from accounts.pairing.bridge_events import Outcome

Kind = AccountNotice.Kind
SEND_REFUSED = "463"  # WhatsApp's error for a message to somebody new while that is not allowed
MILLISECONDS = 10**11  # a larger number is one of those: in seconds it would be the year 5138
EARLIEST = 10**9  # in 2001; a smaller number is no time
NO = frozenset({"false", "no", "off", "0", "none"})


class Restricted(serializers.Serializer[Any]):
    """Data of any shape, which `to_internal_value` reads; the event is never refused for it."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        return {
            "kind": kind_of(data.get("kind"), code=data.get("code")),
            "is_active": is_active(data.get("active")),
            "until": moment_of(data.get("until")),
            "text": _words(data),
        }


def apply(session_pk: int, data: dict[str, Any]) -> Outcome:
    kind = data["kind"]
    if not data["is_active"]:
        return restrictions.lifted(session_pk, kind=kind)
    return restrictions.restricted(session_pk, kind=kind or Kind.RESTRICTED, text=data["text"], until=data["until"])


def kind_of(value: Any, *, code: Any = None) -> AccountNotice.Kind | None:
    """The kind that is meant; None: it is not said. A kind that we do not know is a restriction all the same."""
    if _digits(code) == SEND_REFUSED or _digits(value) == SEND_REFUSED:
        return Kind.SEND_REFUSED
    if not isinstance(value, str) or not value.strip():
        return None
    word = value.strip().casefold()
    return Kind(word) if word in restrictions.KINDS else Kind.RESTRICTED


def is_active(value: Any) -> bool:
    """Whether it holds: unless it is said plainly that it does not."""
    if isinstance(value, str):
        return value.strip().casefold() not in NO
    return value is None or bool(value)


def moment_of(value: Any) -> datetime | None:
    """A time in Unix seconds, milliseconds or ISO 8601; None: none is given, or it cannot be read."""
    if isinstance(value, str) and not value.strip().replace(".", "", 1).isdecimal():
        return _from_iso(value)
    try:
        number = 0.0 if isinstance(value, bool) else float(value)
        seconds = number / 1000 if number >= MILLISECONDS else number
        return datetime.fromtimestamp(seconds, UTC) if seconds >= EARLIEST else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _from_iso(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text.strip())
        return moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _words(data: dict[str, Any]) -> str:
    """The bridge's own words and, of a cap, how much of it is used."""
    message, used, total = (data.get(name) for name in ("message", "used", "total"))
    words = [message.strip()] if isinstance(message, str) else []
    if type(used) is int and type(total) is int:
        words.append(f"{used} of {total} used")
    return ". ".join(filter(None, words))[:300]


def _digits(value: Any) -> str:
    return str(value).strip().partition(":")[0] if isinstance(value, str | int) else ""
