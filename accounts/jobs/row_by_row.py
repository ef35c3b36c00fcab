"""Many rows, one after the other."""

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


def safely(do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """One row that fails, or hangs in somebody's lock, must not hold up those behind it each time. None: it did.

    The first of `args` says in the log which one it was.
    """
    try:
        return do(*args, **kwargs)
    except Exception as error:  # its text may hold a phone number
        log.error("left out: %s with %s", type(error).__name__, args[0])
        return None
