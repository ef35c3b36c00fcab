"""Who may do something alone, across processes: until it lets go, or until its time is over when it died.

Who else could be there: a twin in another process, which gets None. Take one outside of any transaction, or others
see it only after the commit. `delivery._claim` takes one inside of its own, which is short: the place in line and the
claim come about together or not at all, and a twin who asks meanwhile waits for that row until it is committed.
"""

from datetime import datetime, timedelta
from secrets import token_hex

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.db.transactions import atomically
from accounts.models import Lease

UNFINISHED = Q(released_at=None) | Q(released_at__lt=F("taken_at"))  # who was killed has not let go


@atomically
def take(name: str, *, seconds: float, holder: str = "", due: datetime | None = None) -> str | None:
    """The holder (a random one unless named), who has it for so many seconds now; None: somebody else has it.

    Or, for what was `due` at a time: somebody else had it since and let go. That is one condition with the taking, or
    a twin that looked before the first one let go would take it after.
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
    """Have it for so many seconds from now. False: it was lost meanwhile."""
    until = timezone.now() + timedelta(seconds=seconds)
    return bool(Lease.objects.filter(name=name, holder=holder).update(until=until))


@atomically
def release(name: str, holder: str, *, result: str = "") -> bool:
    """Let go, and leave a word for people to read. False: it was lost meanwhile, and nothing is changed."""
    mine = Lease.objects.filter(name=name, holder=holder)
    return bool(mine.update(holder="", released_at=timezone.now(), result=result[:200]))
