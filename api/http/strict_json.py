"""JSON from outside is read strictly: a text that two parsers could read differently is refused.

What a database does not take is refused as well, or, in what bridges tell us, replaced: a Node bridge sends an event
once, and one broken group name would cost every message of that group.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NoReturn

from accounts.fields import storable
from api.http.errors import ApiError

MAX_DEPTH = 20
MAX_INTEGER = 2**63 - 1  # what a database column holds
# A message of 200,000 commas fits. A body of 21 MB may hold ten million, which take 5 s; these take 0.2 to 0.4 s.
MAX_VALUES = 250_000

Path = tuple[str, ...]  # the keys down to a value; lists add none


@dataclass(frozen=True)
class _Reading:
    """What becomes of a number, given as digits, that no column holds, and of the text at a path."""

    number: Callable[[str], None]
    text: Callable[[str, Path], str]


def parse_object(raw: bytes) -> dict[str, Any]:
    """The object in `raw`. Raises ApiError 400 with a code: INVALID_JSON, or what exactly is wrong with it."""
    return _parse(raw, _Reading(number=_refuse_number, text=lambda text, path: _refuse_broken(text)))


def parse_told(raw: bytes, *, exact: Collection[Path] = ()) -> dict[str, Any]:
    """The same of what a bridge tells: such numbers become null, NUL and half surrogates in texts U+FFFD.

    Keys stay strict, and so do the texts at the paths in `exact`, which name what the rest is about.
    """

    def text_at(text: str, path: Path) -> str:
        return _refuse_broken(text) if path in exact else storable(text)

    return _parse(raw, _Reading(number=lambda digits: None, text=text_at))


def _parse(raw: bytes, reading: _Reading) -> dict[str, Any]:
    # An upper bound, as a comma may stand in a text. It is counted first, because building the values takes the time.
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_VALUES:
        raise ApiError(400, "TOO_MANY_VALUES", f"The body has more than {MAX_VALUES} values.")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=lambda digits: float(digits) if _is_finite(digits) else reading.number(digits),
            parse_int=lambda digits: int(digits) if _is_bounded(digits) else reading.number(digits),
            object_pairs_hook=_without_duplicates,
        )
    except UnicodeDecodeError as error:
        raise ApiError(400, "INVALID_UTF8", "The body is not valid UTF-8.") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise ApiError(400, "INVALID_JSON", "The body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise ApiError(400, "NOT_AN_OBJECT", "The body must be a JSON object.")
    _read(value, reading, depth=1, path=())
    return value


def _read(value: Any, reading: _Reading, *, depth: int, path: Path) -> Any:
    """Check the value, and replace in place what is to be replaced in it. Returns what to put in its place."""
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, str):
        return reading.text(value, path)
    if isinstance(value, dict):
        for key, inner in value.items():
            value[_refuse_broken(key)] = _read(inner, reading, depth=depth + 1, path=(*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            value[place] = _read(inner, reading, depth=depth + 1, path=path)
    return value


def _refuse_broken(text: str) -> str:
    if "\x00" in text:
        raise ApiError(400, "NUL_IN_TEXT", "Text must not contain NUL characters.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ApiError(400, "LONE_SURROGATE", "Text must not contain half of a surrogate pair.") from error
    return text


def _too_deep() -> ApiError:
    return ApiError(400, "TOO_DEEP", f"The body is nested deeper than {MAX_DEPTH} levels.")


def _refuse_constant(name: str) -> NoReturn:
    raise ApiError(400, "NUMBER_OUT_OF_RANGE", f"{name} is not a JSON number.")


def _refuse_number(digits: str) -> NoReturn:
    raise ApiError(400, "NUMBER_OUT_OF_RANGE", "A number is too large.")


def _is_finite(digits: str) -> bool:
    return float(digits) not in {float("inf"), float("-inf")}


def _is_bounded(digits: str) -> bool:
    """The length is checked before int(), which is quadratic and refuses more than 4,300 digits with its own error."""
    return len(digits) <= 20 and abs(int(digits)) <= MAX_INTEGER


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ApiError(400, "DUPLICATE_KEY", "An object has the same key twice.")
    return made
