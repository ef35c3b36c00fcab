"""Links that were lost at a bridge of several processes. Recovery asks one process, which may know nothing of them; so
they are opened when a poll has heard all processes.

Who else could be there: the bridge's own attempt to connect again, an order that opens it already.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import Max
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import BridgeOrder
from accounts.reconcile.diff import SETTLED, Differences, Row

PAUSE = timedelta(minutes=2)  # after a try; later on as long as half of the time since the loss
LONGEST_PAUSE = timedelta(minutes=10)


def due(found: Differences) -> list[Row]:
    """The links that no process runs and that are due to be opened. `found` compares the list of all processes."""
    told = [row for row in (*found.absent, *found.idle) if row.status == Status.DISCONNECTED and row.is_calm(SETTLED)]
    rows = {row.pk: row for row in (*found.lost, *told)}
    tried = _tried(rows)
    return [row for row in rows.values() if _is_due(row, tried.get(row.pk))]


def _tried(rows: Collection[int]) -> dict[int, datetime]:
    orders = BridgeOrder.objects.filter(session__in=rows, kind__in=BridgeOrder.OPENING)
    return dict(orders.order_by().values_list("session").annotate(Max("created_at"))) if rows else {}


def _is_due(row: Row, tried_at: datetime | None) -> bool:
    if tried_at is None or tried_at < row.status_changed_at:
        return True
    now = timezone.now()
    return tried_at < now - min(max((now - row.status_changed_at) / 2, PAUSE), LONGEST_PAUSE)
