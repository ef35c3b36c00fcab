"""One line per happening on stderr: time, level, words, key=value.

Session ids and event names may appear; phone numbers, codes, bodies and secrets may not. Exceptions are
therefore logged by type and place: their text can quote what they choked on.
"""

import logging
import sys
import time
import traceback


def start_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    log = logging.getLogger("bridge")
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def place_of(error: BaseException) -> str:
    """`TypeName@file:line` of the innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    last = frames[-1]
    return f"{type(error).__name__}@{last.filename.rpartition('/')[2]}:{last.lineno}"
