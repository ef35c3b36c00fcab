"""Deletes old rows, a few at a time (pruning.py). History and accounts are never deleted here."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db.models import Exists, Max, OuterRef
from django.utils import timezone
from django_q.models import Failure

from accounts.housekeeping.pruning import Piece, in_pieces, older_than
from accounts.models import BridgeOrder, BridgeProcess, Incident, LinkMove, Message, ReconcileRun, StraySession

PROCESS_DAYS = 180  # as for dead letters by default: an event of an old process may be replayed until then

BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)  # no row is that old
CLOSED = [BridgeOrder.State.CONFIRMED, BridgeOrder.State.FAILED, BridgeOrder.State.CANCELLED]


def run() -> dict[str, int]:
    """Delete what is older than the LINKDESK_KEEP_* settings say. Gives how many of each."""
    return in_pieces(
        {
            "messages": _messages,
            "orders": _orders,
            "moves": _moves,
            "failures": _failures,
            "runs": _runs,
            "strays": _strays,
            "incidents": _incidents,
            "processes": _processes,
        }
    )


def limit(days: int) -> datetime:
    """The time before which rows may be deleted; with 0 days none are."""
    return timezone.now() - timedelta(days=days) if days > 0 else BEFORE_ALL


def _messages(piece: Piece) -> int:
    old = older_than(Message, "created_at", limit(settings.LINKDESK_KEEP_MESSAGES_DAYS))
    return piece.prune(old, first=_delete_files)


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


def _orders(piece: Piece) -> int:
    before = limit(settings.LINKDESK_KEEP_ORDERS_DAYS)
    old = older_than(BridgeOrder, "created_at", before).filter(state__in=CLOSED, closed_at__lt=before)
    # Only these rows say that a device was unlinked: without them people would be told to remove it on the phone.
    return piece.prune(old.exclude(kind=BridgeOrder.Kind.STOP, logout=True, state=BridgeOrder.State.CONFIRMED))


def _moves(piece: Piece) -> int:
    """Delete moves of links, but none before the stop that it waited for. The messages of a former owner are accepted
    for as long as the move is kept (webhooks/events/messages.py). A deleted session's moves go with it."""
    old = older_than(LinkMove, "started_at", limit(settings.LINKDESK_KEEP_ORDERS_DAYS))
    return piece.prune(old.filter(~Exists(BridgeOrder.objects.filter(pk=OuterRef("stop_id")))))


def _failures(piece: Piece) -> int:
    return piece.prune(Failure.objects.filter(stopped__lt=limit(settings.LINKDESK_KEEP_FAILURES_DAYS)))


def _runs(piece: Piece) -> int:
    return piece.prune(older_than(ReconcileRun, "at", limit(settings.LINKDESK_KEEP_RUNS_DAYS)))


def _strays(piece: Piece) -> int:
    """Delete settled unknown sessions. One that still runs, or runs again, is listed anew."""
    return piece.prune(StraySession.objects.filter(settled_at__lt=limit(settings.LINKDESK_KEEP_RUNS_DAYS)))


def _incidents(piece: Piece) -> int:
    return piece.prune(Incident.objects.filter(closed_at__lt=limit(settings.LINKDESK_KEEP_INCIDENTS_DAYS)))


def _processes(piece: Piece) -> int:
    """Delete processes that are long gone, except the newest of each bridge; first their `told_of` rows, in batches."""
    before = limit(PROCESS_DAYS)
    newest = BridgeProcess.objects.values("bridge").annotate(newest=Max("pk")).values_list("newest", flat=True)
    gone = BridgeProcess.objects.filter(last_seen_at__lt=before).exclude(pk__in=list(newest))
    gone = gone.exclude(replaced_at__gte=before)
    told = BridgeProcess.told_of.through.objects.filter(bridgeprocess__in=gone)
    piece.prune(told)
    return piece.prune(gone)
