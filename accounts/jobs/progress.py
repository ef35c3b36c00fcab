"""A cluster's workers tell their watchdog over a pipe when a task begins and when it ends.

It is a pipe and not a table, as it costs only microseconds a task, and works while the database is away.
"""

import contextlib
import os
import struct
import time
from typing import Any

from django_q.conf import Conf
from django_q.signals import post_execute_in_worker, pre_execute

VARIABLE = "LINKDESK_PROGRESS"  # the pipe's number, in the cluster's environment
WORD = struct.Struct("i")  # a worker's process id, negative when it is done; a pipe keeps four bytes together
AT_ONCE = 65_536  # bytes; a pipe holds no more
LONGEST = Conf.TIMEOUT + 5  # seconds; by then the queue has ended the task


def tell_watchdog() -> None:
    """Connect to the watchdog, once in the cluster: its workers inherit it. Does nothing if there is no watchdog."""
    number = os.environ.pop(VARIABLE, "")  # programs that a task starts have no such pipe
    if not number:
        return
    pipe = int(number)
    os.set_blocking(pipe, False)  # a word that is lost delays nobody

    def say(word: int) -> None:
        with contextlib.suppress(OSError):
            os.write(pipe, WORD.pack(word))

    def begun(**_: Any) -> None:
        say(os.getpid())

    def done(**_: Any) -> None:
        say(-os.getpid())

    pre_execute.connect(begun, weak=False)
    post_execute_in_worker.connect(done, weak=False)


class Progress:
    """The watchdog's end of the pipe."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.pipe()
        os.set_blocking(self.ours, False)
        self.busy: dict[int, float] = {}  # since when

    def heard(self) -> bool:
        """Whether a task has begun or ended since the last call, or all workers are busy."""
        words = b""
        with contextlib.suppress(BlockingIOError):
            words = os.read(self.ours, AT_ONCE)
        for (word,) in WORD.iter_unpack(words):
            self.busy.pop(abs(word), None)
            if word > 0:
                self.busy[word] = time.monotonic()
        return bool(words) or self._all_are_busy()

    def _all_are_busy(self) -> bool:
        """Whether each worker has a task that is within LONGEST. A killed worker may count as busy until then."""
        since = time.monotonic() - LONGEST
        at_work = [pid for pid, begun in self.busy.items() if begun > since and _lives(pid)]
        return bool(len(at_work) >= Conf.WORKERS)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
