"""Transactions that survive a deadlock, and the one order in which rows are locked.

The order: workspace, then accounts by id, then session. Child rows are written only after their parent is
locked. A row with a foreign key is never inserted *before* its parent is locked in the same transaction: the
insert takes a shared lock on the parent, and two such transactions deadlock when both go on to lock it.
"""

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection, transaction

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 4  # one and three retries
PATIENCE = 7  # seconds, in which another try that takes as long must end: a bridge waits 10
MYSQL_DEADLOCK, MYSQL_LOCK_WAIT = 1213, 1205


def atomically(function: Callable[P, T]) -> Callable[P, T]:
    """Run `function` in one transaction; the outermost one starts again after a deadlock or a lock time-out.

    Inside another transaction it takes part in that one: retrying a savepoint would keep locks that the
    database has already given to somebody else.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if connection.in_atomic_block:
            return function(*args, **kwargs)
        give_up = time.monotonic() + PATIENCE
        for tries_left in range(TRIES - 1, -1, -1):
            began = time.monotonic()
            try:
                with transaction.atomic():
                    return function(*args, **kwargs)
            except OperationalError as error:
                if not tries_left or not is_contention(error) or 2 * time.monotonic() - began > give_up:
                    raise
                time.sleep(random.uniform(0.01, 0.1) * (TRIES - tries_left))  # jitter
        raise AssertionError("unreachable")

    return run


def wait_at_most(seconds: float) -> None:
    """For this connection, which ends with its request: how long SQLite waits for whoever writes.

    MariaDB waits 3 s for a lock whoever asks (config/settings.py).
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def is_contention(error: OperationalError) -> bool:
    """Whether the database refused only because somebody else was there."""
    code = error.args[0] if error.args else None
    return code in {MYSQL_DEADLOCK, MYSQL_LOCK_WAIT} or "database is locked" in str(error)
