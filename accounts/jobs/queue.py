"""Putting work into django-q2, now or later. The queue is a hint: a sweep over the rows finds what it lost."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.models import OrmQ
from django_q.tasks import async_task

TICK = timedelta(milliseconds=10)  # a worker's `lock` falls on one by chance: 1 in 10,000
LANES = {"deliver_order": "orders", "settle_order": "orders", "poll_bridge": "low"}  # all others: default


class Lane(ORM):  # type: ignore[misc]  # the library ships no types
    """The ORM broker for one lane and, perhaps, a task that is not due yet: it is taken once its `lock` has passed.

    Whole ticks, rounded up: a `lock` to come that is none is a worker's, which holds the row (`free`).
    """

    def __init__(self, key: str, *, delay: float) -> None:
        super().__init__(key)
        self.delay = delay
        self.row = 0  # what the task has become

    def enqueue(self, task: str) -> int:
        lock = timezone.now()
        if self.delay:
            lock += timedelta(seconds=self.delay) + TICK
            lock -= timedelta(microseconds=lock.microsecond % TICK.microseconds)
        self.row = self.get_connection().create(key=self.list_key, payload=task, lock=lock).pk
        return self.row


def enqueue(task: str, *ids: int, delay: float = 0) -> None:
    """Run `accounts.tasks.<task>(*ids)` in `delay` seconds. Inside a transaction, a rollback leaves no task.

    Pass ids only: arguments are pickled into the database and shown in the admin.
    """
    put(f"accounts.tasks.{task}", *ids, key=key_of(LANES.get(task, "default")), delay=delay)


def put(function: str, *ids: int, key: str, delay: float = 0) -> int:
    """Into the lane of this key. Gives the row, which is there until the task is done."""
    lane = Lane(key, delay=delay)
    async_task(function, *ids, broker=lane)
    return lane.row


def key_of(lane: str) -> str:
    """What the lane is called in the queue, where several may be one."""
    return str(settings.LINKDESK_LANES[lane])


def free(key: str) -> int:
    """What a dead cluster of this lane had taken is due again now, not after `retry` (120 s). Gives how many tasks.

    Who else could be there: a cluster of the same lane on another machine. What it works on may run twice, as any
    task may.
    """
    now = timezone.now()
    taken = OrmQ.objects.filter(key=key, lock__gt=now).values_list("pk", "lock")
    rows = OrmQ.objects.filter(pk__in=[pk for pk, lock in taken if lock.microsecond % TICK.microseconds])
    return int(rows.update(lock=now))
