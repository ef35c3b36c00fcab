"""The row locks, taken in one order.

The order: a member of the staff, an event of the inbox, the workspace, unknown sessions, accounts by id, the bridge,
the link session. A transaction that needs several takes them in this order, so that no two transactions wait for each
other.
The workspace comes before its accounts because a merge locks two of them; the bridge is locked only for a start or an
admission, and before a session of it ends or begins, because both of these take a shared lock on it.

Child rows are written only after their parent is locked. A row with a foreign key is never inserted *before* its parent
is locked in the same transaction: the insert takes a shared lock on the parent, and two such transactions deadlock
when both go on to lock it.

Two bridges are locked by id, except for a start in the place of another attempt: which bridge it gets is known only
after that attempt has ended, with the attempt's bridge locked. Two workspaces that cross there deadlock now and then,
and the loser tries again (`transactions.atomically`).
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Semaphore, local
from typing import Any, NamedTuple, TypeVar

from django.db import OperationalError
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)

ORDER = ("user", "webhookevent", "workspace", "straysession", "account", "bridge", "linksession", "bridgesecret")
BY_ID = {ORDER.index("account")}
STRICT = False  # the tests turn it on; elsewhere a wrong order is at worst a deadlock, which is tried again
TURN_WITHIN = 25  # seconds that a person's or a program's request waits for its turn at a lock
WAITING_AT_ONCE = 2  # requests of one process, for one row, in the database's own line
MYSQL_LOCK_WAIT = 1205

_transaction = local()
_lines: defaultdict[tuple[str, Any], Semaphore] = defaultdict(partial(Semaphore, WAITING_AT_ONCE))


class Lock(NamedTuple):
    rank: int
    pk: Any

    def __str__(self) -> str:
        return f"{ORDER[self.rank]} {self.pk}"

    def comes_before(self, other: "Lock") -> bool:
        return self.rank < other.rank or (self.rank == other.rank and self.rank in BY_ID and self.pk < other.pk)


class WrongOrder(AssertionError):
    """A lock was taken that comes before one that the transaction holds already."""


def row(model: type[M], **key: Any) -> M:
    """The row with this key, locked until the transaction ends; on SQLite the transaction itself is the lock.

    Raises the model's DoesNotExist.
    """
    found = model._default_manager.select_for_update().get(**key)
    _note(model, found.pk)
    return found


def row_in_turn(model: type[M], *, pk: Any) -> M:
    """As `row`, for what people and programs ask for: most of them wait here and not at the database.

    The database serves all who wait for a row in their order, and the event of a bridge, which gives up after 10 s,
    must not stand behind sixty of them. Raises OperationalError after `TURN_WITHIN` seconds, as the database does.
    """
    if _is_held(model, pk):
        return row(model, pk=pk)
    line = _lines[model._meta.label, pk]
    if not line.acquire(timeout=TURN_WITHIN):
        raise OperationalError(MYSQL_LOCK_WAIT, "Lock wait timeout exceeded in this process")
    try:
        return row(model, pk=pk)
    finally:
        line.release()


def rows(found: QuerySet[M]) -> list[M]:
    """All of them, locked in the order of their ids."""
    locked = list(found.select_for_update().order_by("pk"))
    for each in locked:
        _note(found.model, each.pk)
    return locked


@contextmanager
def one_transaction() -> Iterator[None]:
    """Row locks that are taken inside count as held until the outermost of these blocks ends."""
    if in_transaction():
        yield
        return
    _transaction.held = set()
    try:
        yield
    finally:
        _transaction.held = None


def in_transaction() -> bool:
    """Whether the caller is part of a wider one."""
    return getattr(_transaction, "held", None) is not None


def _is_held(model: type[Model], pk: Any) -> bool:
    return _lock_of(model, pk) in (getattr(_transaction, "held", None) or ())


def _note(model: type[Model], pk: Any) -> None:
    held = getattr(_transaction, "held", None)
    if held is None:
        return
    mine = _lock_of(model, pk)
    if STRICT and mine not in held and any(mine.comes_before(other) for other in held):
        raise WrongOrder(f"{mine} is locked after one of {', '.join(map(str, held))}")
    held.add(mine)


def _lock_of(model: type[Model], pk: Any) -> Lock:
    return Lock(ORDER.index(str(model._meta.model_name)), pk)
