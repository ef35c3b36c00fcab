"""Each log entry is one line on stderr: time, level, words, key=value.

Session ids and event names may appear; phone numbers, codes, bodies and secrets may not. Exceptions are
therefore logged by type and place: their text can quote the value that caused them.
"""

import logging
import sys
import time
import traceback
from typing import Any


class OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", " | ")

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return place_of(ei[1]) if ei[1] else ""


def start_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    formatter = OneLine("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("bridge").setLevel(logging.INFO)
    # aiohttp quotes requests that it cannot parse, and the api_key of a GET is in the first line.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)


def place_of(error: BaseException) -> str:
    """Return `TypeName@file:line` of the innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    last = frames[-1]
    return f"{type(error).__name__}@{last.filename.rpartition('/')[2]}:{last.lineno}"
