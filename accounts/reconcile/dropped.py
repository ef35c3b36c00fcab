"""Which lost links are due to be opened by a list, and which were tried not long ago.

Recovery keeps trying what one process has lost. At a bridge of several it asks one, which may know nothing of the link;
there links are opened when a poll has heard all processes. Who else could be there: the bridge's own attempt to connect
again, an order that opens it already.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Max
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import BridgeOrder
from accounts.reconcile.diff import SETTLED, Differences, Row

TRIED_LATELY = timedelta(minutes=10)  # as recovery's pause: a link that recovery keeps trying is left to it
PAUSE = timedelta(minutes=2)  # after a try at several processes; later on as long as half of the time since the loss


def due(found: Differences, *, heard_all: bool) -> list[Row]:
    """The links to open, or to mark lost. `heard_all`: `found` compares the list of all processes of several."""
    lost = _told_or_lost(found) if heard_all else found.lost
    tried = _tried(lost)
    return [row for row in lost if _is_due(row, tried.get(row.pk), heard_all=heard_all)]


def _told_or_lost(found: Differences) -> list[Row]:
    """What an event has told of needs no second list. In its quiet time a link is left alone where it is listed."""
    told = [*found.absent, *(row for row in found.idle if row.is_proven)]
    calm = [row for row in told if row.status == Status.DISCONNECTED and row.is_calm(SETTLED)]
    return list({row.pk: row for row in (*found.lost, *calm)}.values())


def _tried(lost: Sequence[Row]) -> dict[int, datetime]:
    down = [row.pk for row in lost if row.status == Status.DISCONNECTED]
    orders = BridgeOrder.objects.filter(session__in=down, kind__in=BridgeOrder.OPENING)
    return dict(orders.order_by().values_list("session").annotate(Max("created_at"))) if down else {}


def _is_due(row: Row, tried_at: datetime | None, *, heard_all: bool) -> bool:
    if tried_at is None or (heard_all and tried_at < row.status_changed_at):
        return True
    now = timezone.now()
    pause = max((now - row.status_changed_at) / 2, PAUSE) if heard_all else TRIED_LATELY
    return tried_at < now - min(pause, TRIED_LATELY)
