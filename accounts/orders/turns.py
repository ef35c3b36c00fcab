"""The two slots in which a bridge gets its orders: one start at a time, and one of the rest.

A start keeps its slot even when the answer was unclear: a Node bridge dies, with all that it runs, when a create takes
over 60 s. So a bridge that hangs holds two workers at the most until it is known to fail; all bridges that are known to
fail share one place, and hold one worker between them.

Who else could be there: other workers with the bridge's other orders. The slot of a worker that died is free when its
time is over; the order that holds it, delivered again, still holds it.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from secrets import token_hex

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.bridges import circuit_breaker
from accounts.jobs import leases
from accounts.jobs.queue import enqueue
from accounts.models import Bridge, BridgeOrder, Lease

Kind, State = BridgeOrder.Kind, BridgeOrder.State
CREATING = 65  # seconds after a POST in which a Node bridge may still carry it out; at 60 it is done or dead
FAILING = "bridges that fail"  # their one place


def name_of(order: BridgeOrder) -> str:
    return f"bridge:{order.bridge_id}:starts" if order.is_start else _rest(order.bridge_id)


def session_is_busy(order: BridgeOrder) -> bool:
    """Whether another order of its session is on the wire; or whether, for a start, the bridge may still carry out an
    earlier stop: it would list the session as running, and then stop it."""
    others = order.session.orders.filter(state=State.CLAIMED, due_at__gt=timezone.now())
    stops = order.session.orders.filter(kind=Kind.STOP, bridge=order.bridge_id)
    late = stops.filter(state__in=[State.CLAIMED, State.UNCLEAR], posted_at__gt=_busy_since())
    return others.exists() or (order.is_start and late.exists())


def enter(order: BridgeOrder, *, seconds: float) -> bool:
    """Take its slot and, if its bridge is known to fail, the one place that failing bridges share."""
    return _stand(order.bridge, name_of(order), _holder(order), seconds=seconds)


@contextmanager
def short_turn(bridge: Bridge, *, seconds: float, order: BridgeOrder | None = None) -> Iterator[bool]:
    """Hold the slot that is not for starts, to read the list or do what is no order. False: it is not free, or the
    bridge is paused."""
    name, holder = _rest(bridge.pk), _holder(order) if order else token_hex(8)
    if circuit_breaker.pause(bridge) or not _stand(bridge, name, holder, seconds=seconds):
        yield False
        return
    try:
        yield True
    finally:
        leases.release(FAILING, holder)
        leases.release(name, holder)


def stay(order: BridgeOrder) -> bool:
    """Keep a start's slot for as long as its POST may keep the bridge busy, even if we die or get no answer.

    False: it took so long to get here that another order has the slot.
    """
    return not order.is_start or leases.extend(name_of(order), _holder(order), seconds=CREATING)


def may_have_arrived(order: BridgeOrder) -> bool:
    """Whether its bridge may still be carrying it out: a create may take a minute."""
    return order.posted_at is not None and order.posted_at > _busy_since()


def leave(order: BridgeOrder) -> None:
    """Release its slot, unless a twin is delivering the order by now.

    A start without a clear answer keeps its slot until its time is over, for its bridge may still be busy with it. The
    place of failing bridges is free at once, as no worker waits for this one any more.
    """
    state = BridgeOrder.objects.filter(pk=order.pk).values_list("state", flat=True).first()
    if state == State.CLAIMED:
        return
    leases.release(FAILING, _holder(order))
    if state == State.UNCLEAR and order.is_start:
        return
    if leases.release(name_of(order), _holder(order)) and order.is_start:
        _call_next(order)


def leave_after_commit(order: BridgeOrder) -> None:
    transaction.on_commit(lambda: leave(order), robust=True)


def clear(bridge_id: int, *, before: datetime) -> None:
    """Free the slot of a start that was posted before the bridge was started anew; it may be busy with a later one."""
    Lease.objects.filter(name=f"bridge:{bridge_id}:starts", taken_at__lt=before).update(holder="")


def turn(order: BridgeOrder) -> float:
    """Seconds until it asks for its slot again: the more orders are ahead of it, the longer."""
    waiting = BridgeOrder.objects.filter(bridge=order.bridge_id, state=State.PENDING, pk__lt=order.pk)
    starts = Q(kind__in=BridgeOrder.OPENING)
    ahead = waiting.filter(starts if order.is_start else ~starts).count()
    return random.uniform(1, 2) + min(ahead / 4, 10)


def _call_next(order: BridgeOrder) -> None:
    """Deliver the oldest waiting start now that the slot is free, for somebody waits for its code."""
    starts = BridgeOrder.objects.filter(bridge=order.bridge_id, kind__in=BridgeOrder.OPENING)
    waiting = starts.filter(state=State.PENDING, attempts=0)
    pk = waiting.order_by("pk").values_list("pk", flat=True).first()
    if pk is not None and waiting.filter(pk=pk).update(due_at=timezone.now()):
        enqueue("deliver_order", pk)


def _stand(bridge: Bridge, name: str, holder: str, *, seconds: float) -> bool:
    if leases.take(name, seconds=seconds, holder=holder) is None:
        return False
    if not circuit_breaker.is_known_to_fail(bridge) or leases.take(FAILING, seconds=seconds, holder=holder):
        return True
    leases.release(name, holder)
    return False


def _rest(bridge_id: int) -> str:
    return f"bridge:{bridge_id}:others"


def _holder(order: BridgeOrder) -> str:
    return f"order:{order.pk}"


def _busy_since() -> datetime:
    """A bridge may still be carrying out what was posted after this moment."""
    return timezone.now() - timedelta(seconds=CREATING)
