"""Leases let one process do something alone: until it releases the lease, or its time is over because it died.

Who else could be there: a twin in another process, which gets None. Take one outside of any transaction, or others
see it only after the commit. `delivery._claim` takes one inside of its own, which is short: the slot and the claim are
taken together or not at all, and a twin that asks meanwhile waits for that row until the commit.
"""

from datetime import datetime, timedelta
from secrets import token_hex

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.db.transactions import atomically
from accounts.models import Lease

UNFINISHED = Q(released_at=None) | Q(released_at__lt=F("taken_at"))  # a process that was killed has not released it


@atomically
def take(name: str, *, seconds: float, holder: str = "", due: datetime | None = None) -> str | None:
    """Take the lease for so many seconds. Gives the holder (random unless named); None: another one has it.

    With `due`, also None if another one took and released it since that time. The same UPDATE checks this, or a twin
    that looked before the release would take it after.
    """
    now = timezone.now()
    holder = holder or token_hex(8)
    mine = {"holder": holder, "until": now + timedelta(seconds=seconds), "taken_at": now}
    free = Q(holder__in=["", holder]) | Q(until__lte=now)
    wanted = UNFINISHED | Q(taken_at__lt=due) if due else Q()
    if Lease.objects.filter(free, wanted, name=name).update(**mine):
        return holder
    if Lease.objects.filter(name=name).exists():
        return None
    try:
        with transaction.atomic():
            Lease.objects.create(name=name, **mine)
    except IntegrityError:  # a twin was first
        return None
    return holder


@atomically
def extend(name: str, holder: str, *, seconds: float) -> bool:
    """Keep it for so many seconds from now. False: it was lost meanwhile."""
    until = timezone.now() + timedelta(seconds=seconds)
    return bool(Lease.objects.filter(name=name, holder=holder).update(until=until))


@atomically
def release(name: str, holder: str, *, result: str = "") -> bool:
    """Release it, and leave a result for people to read. False: it was lost meanwhile, and nothing is changed."""
    mine = Lease.objects.filter(name=name, holder=holder)
    return bool(mine.update(holder="", released_at=timezone.now(), result=result[:200]))
