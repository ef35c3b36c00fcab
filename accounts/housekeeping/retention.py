"""Deletes old rows, a few at a time. History and accounts are never deleted here.

Who else could be there: the same job a second time, and all who write to the tables. Each statement repeats its
conditions, so that a row that has changed meanwhile stays; a row that is gone already is no error.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import Exists, Max, Model, OuterRef, QuerySet
from django.utils import timezone
from django_q.models import Failure

from accounts.db.transactions import atomically
from accounts.models import BridgeOrder, BridgeProcess, Incident, LinkMove, Message, ReconcileRun, StraySession

BATCH = 1_000  # rows a statement: locks are held for milliseconds
MOST = 100_000  # rows of one kind in a run; the next run goes on
PATIENCE = 4  # seconds for each of nine kinds in a run: the queue kills a task at 45
PROCESS_DAYS = 180  # as for dead letters by default: an event of an old process may be replayed until then

BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)  # no row is that old
CLOSED = [BridgeOrder.State.CONFIRMED, BridgeOrder.State.FAILED, BridgeOrder.State.CANCELLED]


def run() -> dict[str, int]:
    """Delete what is older than the LINKDESK_KEEP_* settings say. Gives how many of each."""
    return {
        "messages": _messages(),
        "orders": _orders(),
        "moves": _moves(),
        "failures": _failures(),
        "runs": _runs(),
        "strays": _strays(),
        "incidents": _incidents(),
        "processes": _processes(),
    }


def limit(days: int) -> datetime:
    """The time before which rows may be deleted; with 0 days none are."""
    return timezone.now() - timedelta(days=days) if days > 0 else BEFORE_ALL


def prune(rows: QuerySet[Any], *, first: Callable[[list[Any]], None] | None = None) -> int:
    """Delete `rows` in batches, lowest key first. `first` gets the keys of each batch before it goes."""
    deleted, give_up = 0, time.monotonic() + PATIENCE
    while deleted < MOST and time.monotonic() < give_up:
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
        if not keys:
            break
        if first is not None:
            first(keys)
        deleted += _delete(rows.filter(pk__in=keys))
    return deleted


def older_than(model: type[Model], written: str, before: datetime) -> QuerySet[Any]:
    """The old rows at the beginning of a table that is written in the order of time.

    No index is needed: the walk along the primary key ends at the first row that is young.
    """
    rows = model._default_manager.all()
    young = rows.filter(**{f"{written}__gte": before}).order_by("pk").values_list("pk", flat=True).first()
    old = rows.filter(**{f"{written}__lt": before})
    return old if young is None else old.filter(pk__lt=young)


@atomically
def _delete(rows: QuerySet[Any]) -> int:
    return rows.delete()[0]


def _messages() -> int:
    return prune(older_than(Message, "created_at", limit(settings.LINKDESK_KEEP_MESSAGES_DAYS)), first=_delete_files)


def _delete_files(keys: list[Any]) -> None:
    """Delete files before their rows: if it is killed in between, the next run finds the rows, and no file is orphaned.

    Files are named by content, so two messages of a session may share one. It is deleted with the last of them.
    """
    going = list(Message.objects.filter(pk__in=keys).exclude(media="").values_list("session", "media"))
    names = {name for _session, name in going}
    # Looked up by session: the name has no index.
    others = Message.objects.filter(session__in={session for session, _name in going}, media__in=names)
    for name in names.difference(others.exclude(pk__in=keys).values_list("media", flat=True)):
        default_storage.delete(name)


def _orders() -> int:
    before = limit(settings.LINKDESK_KEEP_ORDERS_DAYS)
    old = older_than(BridgeOrder, "created_at", before).filter(state__in=CLOSED, closed_at__lt=before)
    # Only these rows say that a device was unlinked: without them people would be told to remove it on the phone.
    return prune(old.exclude(kind=BridgeOrder.Kind.STOP, logout=True, state=BridgeOrder.State.CONFIRMED))


def _moves() -> int:
    """Delete moves of links, but none before the stop that it waited for. The messages of a former owner are accepted
    for as long as the move is kept (webhooks/events/messages.py). A deleted session's moves go with it."""
    old = older_than(LinkMove, "started_at", limit(settings.LINKDESK_KEEP_ORDERS_DAYS))
    return prune(old.filter(~Exists(BridgeOrder.objects.filter(pk=OuterRef("stop_id")))))


def _failures() -> int:
    return prune(Failure.objects.filter(stopped__lt=limit(settings.LINKDESK_KEEP_FAILURES_DAYS)))


def _runs() -> int:
    return prune(older_than(ReconcileRun, "at", limit(settings.LINKDESK_KEEP_RUNS_DAYS)))


def _strays() -> int:
    """Delete settled unknown sessions. One that still runs, or runs again, is listed anew."""
    return prune(StraySession.objects.filter(settled_at__lt=limit(settings.LINKDESK_KEEP_RUNS_DAYS)))


def _incidents() -> int:
    return prune(Incident.objects.filter(closed_at__lt=limit(settings.LINKDESK_KEEP_INCIDENTS_DAYS)))


def _processes() -> int:
    """Delete processes that are long gone, except the newest of each bridge; first their `told_of` rows, in batches."""
    before = limit(PROCESS_DAYS)
    newest = BridgeProcess.objects.values("bridge").annotate(newest=Max("pk")).values_list("newest", flat=True)
    gone = BridgeProcess.objects.filter(last_seen_at__lt=before).exclude(pk__in=list(newest))
    gone = gone.exclude(replaced_at__gte=before)
    told = BridgeProcess.told_of.through.objects.filter(bridgeprocess__in=gone)
    prune(told)
    return prune(gone)
