"""The two lanes in which a bridge gets its orders: one start at a time, and one of the rest.

A start holds its lane also where the answer was unclear: a Node bridge dies, with all that it runs, when a create takes
over 60 s. So a bridge that hangs holds two workers at the most until it is known to fail; those that are known to fail
share one place, and hold one worker between them.

Who else could be there: other workers with the bridge's other orders. A worker that died in a lane leaves it when its
time is over; the same order, delivered again, is still the holder.
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
CREATING = 65  # seconds after a POST in which a Node bridge may still be at it; at 60 it is done or dead
FAILING = "bridges that fail"  # their one place


def is_start(order: BridgeOrder) -> bool:
    return order.kind in BridgeOrder.OPENING


def name_of(order: BridgeOrder) -> str:
    return f"bridge:{order.bridge_id}:starts" if is_start(order) else others(order)


def others(order: BridgeOrder) -> str:
    """For a look at the list, whatever the order is."""
    return _rest(order.bridge_id)


def enter(order: BridgeOrder, name: str, *, seconds: float) -> bool:
    """Stand in that line, and in the place of those that fail where the bridge is one of them."""
    return _stand(order.bridge, name, _holder(order.pk), seconds=seconds)


@contextmanager
def short_turn(bridge: Bridge, *, seconds: float) -> Iterator[bool]:
    """In the line of the rest, for what is no order. False: it is not free, or the bridge is put aside."""
    name, holder = _rest(bridge.pk), token_hex(8)
    if circuit_breaker.pause(bridge) or not _stand(bridge, name, holder, seconds=seconds):
        yield False
        return
    try:
        yield True
    finally:
        leases.release(FAILING, holder)
        leases.release(name, holder)


def stay(order: BridgeOrder) -> bool:
    """From its POST on a start may keep the bridge busy, whatever becomes of us or of the answer.

    False: it took so long to come to it that somebody else has the line.
    """
    return not is_start(order) or leases.extend(name_of(order), _holder(order.pk), seconds=CREATING)


def busy_since() -> datetime:
    """What was posted after this moment, a bridge may still be at."""
    return timezone.now() - timedelta(seconds=CREATING)


def free_worker(order: BridgeOrder) -> None:
    """Nobody waits for its bridge any more, though its line may have to."""
    leases.release(FAILING, _holder(order.pk))


def leave(order: BridgeOrder, name: str) -> None:
    free_worker(order)
    if leases.release(name, _holder(order.pk)) and is_start(order) and name == name_of(order):
        _call_next(order)


def leave_after_commit(order: BridgeOrder) -> None:
    transaction.on_commit(lambda: leave(order, name_of(order)), robust=True)


def clear(bridge_id: int, *, before: datetime) -> None:
    """The bridge was started anew: what it was told before, nobody waits for. What came later, it may be at."""
    Lease.objects.filter(name=f"bridge:{bridge_id}:starts", taken_at__lt=before).update(holder="")


def turn(order: BridgeOrder) -> float:
    """Seconds until it asks for its line again: the further back it stands, the more seldom."""
    waiting = BridgeOrder.objects.filter(bridge=order.bridge_id, state=State.PENDING, pk__lt=order.pk)
    starts = Q(kind__in=BridgeOrder.OPENING)
    ahead = waiting.filter(starts if is_start(order) else ~starts).count()
    return random.uniform(1, 2) + min(ahead / 4, 10)


def _call_next(order: BridgeOrder) -> None:
    """The line for starts is free: the first who was told to come again comes now, for somebody waits for a code."""
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


def _holder(order_pk: int) -> str:
    return f"order:{order_pk}"
