"""Transactions that survive a deadlock, and time-outs for locks. The order of the locks is in `locks.py`."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection, transaction

from accounts.db import locks

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 4  # one and three retries
PATIENCE = 7  # seconds within which another try, if as long as the last, must end: a bridge waits 10
MYSQL_DEADLOCK, MYSQL_LOCK_WAIT = 1213, 1205


def atomically(function: Callable[P, T]) -> Callable[P, T]:
    """Run `function` in one transaction; the outermost one starts again after a deadlock or a lock time-out.

    Inside another transaction it takes part in that one: retrying a savepoint would keep locks that the
    database has already given to somebody else.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if connection.in_atomic_block:
            with locks.one_transaction():
                return function(*args, **kwargs)
        give_up = time.monotonic() + PATIENCE
        for tries_left in range(TRIES - 1, -1, -1):
            began = time.monotonic()
            try:
                with transaction.atomic(), locks.one_transaction():
                    return function(*args, **kwargs)
            except OperationalError as error:
                if not tries_left or not is_contention(error) or 2 * time.monotonic() - began > give_up:
                    raise
                time.sleep(random.uniform(0.01, 0.1) * (TRIES - tries_left))  # jitter
        raise AssertionError("unreachable")

    return run


def wait_at_most(seconds: float) -> None:
    """Set how long SQLite waits for another writer on this connection, which ends with its request.

    MariaDB always waits 3 s for a lock (config/settings.py).
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


@contextmanager
def hardly_waiting() -> Iterator[None]:
    """For writes of little worth: OperationalError if a lock is not free after 0.3 s, or 1 s on MariaDB."""
    read, change, shortest = (
        ("PRAGMA busy_timeout", "PRAGMA busy_timeout = {}", 300)
        if connection.vendor == "sqlite"
        else ("SELECT @@innodb_lock_wait_timeout", "SET SESSION innodb_lock_wait_timeout = {}", 1)
    )
    with connection.cursor() as cursor:
        cursor.execute(read)
        (before,) = cursor.fetchone()
        cursor.execute(change.format(shortest))
        try:
            yield
        finally:
            cursor.execute(change.format(before))


def is_contention(error: OperationalError) -> bool:
    """Whether the database refused only because another transaction had the lock, or won a deadlock."""
    code = error.args[0] if error.args else None
    return code in {MYSQL_DEADLOCK, MYSQL_LOCK_WAIT} or "database is locked" in str(error)
