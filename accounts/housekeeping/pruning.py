"""Deletes many rows beside those who write: in small batches along the primary key, with pauses, a piece at a time.

Who else could be there: a twin, and all who write to the tables. Each statement repeats its conditions, so that a row
that has changed meanwhile stays; a row that is gone already is no error. A piece that is killed has deleted whole
batches; nothing is remembered between two pieces but what the tables say.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Max, Min, Model, QuerySet

from accounts.db.transactions import atomically
from accounts.jobs.running import Unfinished

BATCH = 500  # rows a statement: locks are held for milliseconds
PER_SECOND = 2_500  # rows of one kind: 5 million within 45 minutes, and the database is ours for a part of the time
PATIENCE = 1  # seconds for one kind at a time: each has its turn in each piece
PIECE = 10  # seconds for all: what else waits in the lane goes between two pieces


class Piece:
    """Counts what is deleted, and knows when to leave the rest to the next piece."""

    def __init__(self) -> None:
        self.ends = time.monotonic() + PIECE
        self.cut = False  # whether some kind has more

    def prune(self, rows: QuerySet[Any], *, first: Callable[[list[Any]], None] | None = None) -> int:
        """Delete `rows` in batches, lowest key first. `first` gets the keys of each batch before it goes."""
        deleted, last = 0, None
        give_up = min(self.ends, time.monotonic() + PATIENCE)
        while True:
            start = time.monotonic()
            left = rows if last is None else rows.filter(pk__gt=last)  # not again over what was deleted just now
            keys = list(left.order_by("pk").values_list("pk", flat=True)[:BATCH])
            if not keys:
                return deleted
            if start >= give_up:
                self.cut = True
                return deleted
            if first is not None:
                first(keys)
            deleted += _delete(rows.filter(pk__in=keys))
            last = keys[-1]
            if len(keys) == BATCH:
                _pause(time.monotonic() - start)


def in_pieces(kinds: Mapping[str, Callable[[Piece], int]]) -> dict[str, int]:
    """Delete of each kind in turn until nothing is left, or the piece is over: then the counts are `Unfinished`."""
    piece, counts = Piece(), dict.fromkeys(kinds, 0)
    while True:
        piece.cut = False
        for name, delete in kinds.items():
            counts[name] += delete(piece)
        if not piece.cut:
            return counts
        if time.monotonic() >= piece.ends:
            return Unfinished(counts)


def older_than(model: type[Model], written: str, before: datetime) -> QuerySet[Any]:
    """The old rows at the beginning of a table that is written in the order of time.

    No index is needed: the first young row is found by halving the range of keys, and the walk ends there.
    """
    rows = model._default_manager.all()
    return rows.filter(**{f"{written}__lt": before}, pk__lt=_first_young(rows, written, before))


def _first_young(rows: QuerySet[Any], written: str, before: datetime) -> int:
    ends = rows.aggregate(low=Min("pk"), high=Max("pk"))
    low, high = ends["low"] or 0, (ends["high"] or 0) + 1
    while low < high:
        middle = (low + high) // 2
        found = rows.filter(pk__gte=middle).order_by("pk").values_list("pk", written).first()
        if found is None or found[1] >= before:
            high = middle
        else:
            low = found[0] + 1
    return int(low)


def _pause(took: float) -> None:
    """Wait as long as the batch took, so that a database that is busy is left alone for longer, or for the pace."""
    time.sleep(max(took, BATCH / PER_SECOND - took))


@atomically
def _delete(rows: QuerySet[Any]) -> int:
    return rows.delete()[0]
