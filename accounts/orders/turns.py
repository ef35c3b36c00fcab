"""The two slots in which a bridge gets its orders: one start at a time, and one of the rest.

A start holds its slot also where the answer was unclear: a Node bridge dies, with all that it runs, when a create takes
over 60 s. So a bridge that hangs holds two workers at the most until it is known to fail; those that are known to fail
share one place, and hold one worker between them.

Who else could be there: other workers with the bridge's other orders. A worker that died in a slot leaves it when its
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


def name_of(order: BridgeOrder) -> str:
    return f"bridge:{order.bridge_id}:starts" if order.is_start else _rest(order.bridge_id)


def session_is_busy(order: BridgeOrder) -> bool:
    """Another order of its session is on the wire; or a start waits for a stop that the bridge may carry out yet,
    after it has listed the session as running."""
    others = order.session.orders.filter(state=State.CLAIMED, due_at__gt=timezone.now())
    stops = order.session.orders.filter(kind=Kind.STOP, bridge=order.bridge_id)
    late = stops.filter(state__in=[State.CLAIMED, State.UNCLEAR], posted_at__gt=_busy_since())
    return others.exists() or (order.is_start and late.exists())


def enter(order: BridgeOrder, *, seconds: float) -> bool:
    """Take its slot, and the place of those that fail where the bridge is one of them."""
    return _stand(order.bridge, name_of(order), _holder(order), seconds=seconds)


@contextmanager
def short_turn(bridge: Bridge, *, seconds: float, order: BridgeOrder | None = None) -> Iterator[bool]:
    """In the slot of the rest, for a look at the list or for what is no order. False: it is not free, or the bridge is
    put aside."""
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
    """From its POST on a start may keep the bridge busy, whatever becomes of us or of the answer.

    False: it took so long to come to it that somebody else has the slot.
    """
    return not order.is_start or leases.extend(name_of(order), _holder(order), seconds=CREATING)


def may_have_arrived(order: BridgeOrder) -> bool:
    """Its bridge may be at it still: a create may take a minute."""
    return order.posted_at is not None and order.posted_at > _busy_since()


def leave(order: BridgeOrder) -> None:
    """Let the next one have its turn, unless a twin delivers it by now.

    The bridge of a start without a clear answer may be busy with it still, so its slot is free when its time is over.
    But no worker waits for that bridge any more.
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
    """The bridge was started anew: what it was told before, nobody waits for. What came later, it may be at."""
    Lease.objects.filter(name=f"bridge:{bridge_id}:starts", taken_at__lt=before).update(holder="")


def turn(order: BridgeOrder) -> float:
    """Seconds until it asks for its slot again: the further back it stands, the more seldom."""
    waiting = BridgeOrder.objects.filter(bridge=order.bridge_id, state=State.PENDING, pk__lt=order.pk)
    starts = Q(kind__in=BridgeOrder.OPENING)
    ahead = waiting.filter(starts if order.is_start else ~starts).count()
    return random.uniform(1, 2) + min(ahead / 4, 10)


def _call_next(order: BridgeOrder) -> None:
    """The slot for starts is free: the first that was told to come again comes now, for somebody waits for a code."""
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
    """What was posted after this moment, a bridge may still be at."""
    return timezone.now() - timedelta(seconds=CREATING)
