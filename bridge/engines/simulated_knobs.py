"""The knobs of the simulated phone come from the environment for all, and from "simulate" for one session."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from bridge.engines.base import EngineError
from bridge.errors import ConfigurationError

NEVER = -1.0
PREFIX = "LINKDESK_SIM_"


@dataclass(frozen=True)
class Knobs:
    """Times are in seconds; a negative one means never."""

    scan_after: float = 8.0
    qr_every: float = 20.0  # as the library does (contract 1.3)
    expire_after: float = NEVER  # gives up a code that nobody scanned: session_expired
    action_required: bool = False
    ready_after: float = 2.5  # the reference bridge never takes less (contract 1.3)
    phone: str | None = None  # None: derived from the account id; "": the phone does not tell its number
    disconnect_after: float = NEVER
    disconnect_reason: str = "NAVIGATION"
    reconnect_after: float = 5.0
    restrict_after: float = NEVER
    restrict_for: float = 3600.0
    logout_after: float = NEVER
    crash_after: float = NEVER
    ack_every: float = 0.5
    edit_after: float = NEVER  # a message that it sent
    revoke_after: float = NEVER
    duplicate_events: bool = False
    shuffle: bool = False


def from_environ(environ: Mapping[str, str]) -> Knobs:
    values: dict[str, Any] = {}
    for name, read in WORDS.items():
        word = environ.get(PREFIX + name.upper())
        # LINKDESK_SIM_PHONE="" has a meaning; any other empty variable counts as unset.
        if word is None or (word == "" and name != "phone"):
            continue
        try:
            values[name] = read(word)
        except ValueError:
            raise ConfigurationError(f"{PREFIX}{name.upper()} cannot be {word!r}") from None
    try:
        return changed(Knobs(), values)
    except EngineError as error:
        raise ConfigurationError(f"{PREFIX}*: {error}") from None


def changed(knobs: Knobs, options: Mapping[str, object]) -> Knobs:
    """Return `knobs` changed by the options. Raises EngineError for one that is unknown or of the wrong type."""
    unknown = sorted(set(options) - set(KINDS))
    if unknown:
        raise EngineError(f"simulate: unknown {', '.join(unknown)}; there is {', '.join(sorted(KINDS))}")
    for name, value in options.items():
        if not KINDS[name](value):
            raise EngineError(f"simulate.{name} has a value it cannot have")
    values: dict[str, Any] = dict(options)
    result = replace(knobs, **values)
    if result.qr_every < SHORTEST_QR:
        raise EngineError(f"simulate.qr_every must be at least {SHORTEST_QR}")
    return result


SHORTEST_QR = 0.05  # drawing one takes 4 ms


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 100


def _is_phone(value: object) -> bool:
    return value is None or (isinstance(value, str) and (value == "" or (value.isdigit() and len(value) <= 15)))


def _read_flag(word: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[word.lower()]


def _flag(word: str) -> bool:
    try:
        return _read_flag(word)
    except KeyError:
        raise ValueError(word) from None


_NAMES = [field.name for field in fields(Knobs)]
_FLAGS = {"action_required", "duplicate_events", "shuffle"}
_TEXTS: dict[str, Callable[[object], bool]] = {"phone": _is_phone, "disconnect_reason": _is_text}

KINDS: dict[str, Callable[[object], bool]] = {
    name: _TEXTS.get(name, _is_flag if name in _FLAGS else _is_seconds) for name in _NAMES
}
WORDS: dict[str, Callable[[str], object]] = {
    name: str if name in _TEXTS else _flag if name in _FLAGS else float for name in _NAMES
}
