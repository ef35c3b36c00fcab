"""Handles many rows, one after the other."""

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


def safely(do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Do it, but log an error: one row that fails, or waits for a lock, must not hold up the rest. None: it failed.

    The first of `args` names the row in the log.
    """
    try:
        return do(*args, **kwargs)
    except Exception as error:  # its text may hold a phone number
        log.error("left out: %s with %s", type(error).__name__, args[0])
        return None
