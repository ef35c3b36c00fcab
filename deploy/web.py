"""The web process: daphne, which ends when it is told to. `python -m deploy.web -b ADDRESS -p PORT`.

Python waits at its end for every thread. One that answers a request may wait for the event loop (each of Django's
middlewares may, and who publishes a change does), which is gone by then: such a process lives until it is killed.
"""

import os
import sys
import threading

from deploy.limits import raise_open_files

GRACE = 3  # seconds for what runs, after the last answer that anybody could get; supervisor waits for 10


def main() -> None:
    raise_open_files()
    from daphne.cli import CommandLineInterface

    try:
        CommandLineInterface().run([*sys.argv[1:], "config.asgi:application"])
    finally:
        _end_within_grace()


def _end_within_grace() -> None:
    """Leave the threads that are still there then: an open transaction of theirs is rolled back by its database."""
    timer = threading.Timer(GRACE, os._exit, (0,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
