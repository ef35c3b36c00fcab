"""Transactions that survive a deadlock, and time-outs for locks. The order of the locks is in `locks.py`."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from math import ceil
from threading import local
from typing import ParamSpec, TypeVar

from django.db import Error, OperationalError, connection, transaction

from accounts.db import locks

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 4  # one and three retries
PATIENCE = 7  # seconds within which another try, if as long as the last, must end: a bridge waits 10
MYSQL_DEADLOCK = 1213

_READ = {"sqlite": "PRAGMA busy_timeout", "mysql": "SELECT @@innodb_lock_wait_timeout"}

_patience = local()
_last_words: ContextVar[Callable[[], object] | None] = ContextVar("last_words", default=None)


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
        give_up = time.monotonic() + getattr(_patience, "seconds", PATIENCE)
        for tries_left in range(TRIES - 1, -1, -1):
            began = time.monotonic()
            try:
                with transaction.atomic(), locks.one_transaction():
                    result = function(*args, **kwargs)
                    if last_words := _last_words.get():
                        last_words()
                    return result
            except OperationalError as error:
                if not tries_left or not is_contention(error) or 2 * time.monotonic() - began > give_up:
                    raise
                time.sleep(random.uniform(0.01, 0.1) * (TRIES - tries_left))  # jitter
        raise AssertionError("unreachable")

    return run


@contextmanager
def before_commit(last_words: Callable[[], object] | None) -> Iterator[None]:
    """Let `last_words` run at the end of each transaction that `atomically` makes in this block, and be part of it.

    A try that is repeated says them again: its first words were taken back with it. None: nothing is said.
    """
    token = _last_words.set(last_words)
    try:
        yield
    finally:
        _last_words.reset(token)


def patiently(function: Callable[P, T]) -> Callable[P, T]:
    """Do as `atomically`, for what a person or a program asks for: with more patience than a bridge has.

    Where many want one lock, MariaDB serves them in their order, and one whose wait times out would begin at the end.
    """
    run = atomically(function)

    @wraps(function)
    def wait(*args: P.args, **kwargs: P.kwargs) -> T:
        if connection.in_atomic_block:
            return run(*args, **kwargs)
        _patience.seconds = locks.TURN_WITHIN  # whoever waits keeps the place in line only until the wait times out
        try:
            with _waiting_for_locks(locks.TURN_WITHIN):
                return run(*args, **kwargs)
        finally:
            del _patience.seconds

    return wait


def wait_at_most(seconds: float) -> None:
    """Set how long this connection, which ends with its request, waits for a lock.

    Else MariaDB waits 3 s, and whoever tries again is behind all who came meanwhile (config/settings.py).
    """
    with connection.cursor() as cursor:
        cursor.execute(_patience_of(seconds))


@contextmanager
def hardly_waiting() -> Iterator[None]:
    """For writes of little worth: OperationalError if a lock is not free after 0.3 s, or 1 s on MariaDB."""
    with _waiting_for_locks(0.3):
        yield


@contextmanager
def _waiting_for_locks(seconds: float) -> Iterator[None]:
    """How long this connection waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(_READ[connection.vendor])
        before = cursor.fetchone()[0] / (1000 if connection.vendor == "sqlite" else 1)
        cursor.execute(_patience_of(seconds))
    try:
        yield
    finally:
        _wait_again(before)


def _patience_of(seconds: float) -> str:
    """MariaDB counts in whole seconds."""
    if connection.vendor == "sqlite":
        return f"PRAGMA busy_timeout = {int(seconds * 1000)}"
    return f"SET SESSION innodb_lock_wait_timeout = {ceil(seconds)}"


def _wait_again(seconds: float) -> None:
    """A connection that broke is opened anew, with the usual time; why it broke is the error that the caller gets."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_patience_of(seconds))
    except Error:
        if not connection.in_atomic_block:
            connection.close()


def is_contention(error: OperationalError) -> bool:
    """Whether the database refused only because another transaction had the lock, or won a deadlock."""
    code = error.args[0] if error.args else None
    return code in {MYSQL_DEADLOCK, locks.MYSQL_LOCK_WAIT} or "database is locked" in str(error)
