"""JSON from outside is read strictly: a text that two parsers could read differently is refused."""

import json
from typing import Any, NoReturn

from api.http.errors import ApiError

MAX_DEPTH = 20
MAX_INTEGER = 2**63 - 1  # what a database column holds
# A message of 200,000 commas fits. A body of 21 MB may hold ten million, which take 5 s; these take 0.2 to 0.4 s.
MAX_VALUES = 250_000


def parse_object(raw: bytes) -> dict[str, Any]:
    """The object in `raw`. Raises ApiError 400 with a code: INVALID_JSON, or what exactly is wrong with it."""
    # An upper bound, as a comma may stand in a text. It is counted first, because building the values takes the time.
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_VALUES:
        raise ApiError(400, "TOO_MANY_VALUES", f"The body has more than {MAX_VALUES} values.")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
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
    _check(value, depth=1)
    return value


def _check(value: Any, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check(inner, depth=depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth=depth + 1)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ApiError(400, "NUL_IN_TEXT", "Text must not contain NUL characters.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ApiError(400, "LONE_SURROGATE", "Text must not contain half of a surrogate pair.") from error


def _too_deep() -> ApiError:
    return ApiError(400, "TOO_DEEP", f"The body is nested deeper than {MAX_DEPTH} levels.")


def _refuse_constant(name: str) -> NoReturn:
    raise ApiError(400, "NUMBER_OUT_OF_RANGE", f"{name} is not a JSON number.")


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ApiError(400, "NUMBER_OUT_OF_RANGE", "A number is too large.")
    return number


def _bounded(text: str) -> int:
    # The length is checked before int(), which is quadratic and refuses more than 4,300 digits with its own error.
    if len(text) > 20 or abs(int(text)) > MAX_INTEGER:
        raise ApiError(400, "NUMBER_OUT_OF_RANGE", "A number is too large.")
    return int(text)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ApiError(400, "DUPLICATE_KEY", "An object has the same key twice.")
    return made
