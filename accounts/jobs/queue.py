"""Puts work into django-q2, now or later. A task is only a hint: if it is lost, a sweep over rows finds the work."""

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

    It is rounded up to whole ticks: any other `lock` in the future is that of a worker that holds the row (`free`).
    """

    def __init__(self, key: str, *, delay: float) -> None:
        super().__init__(key)
        self.delay = delay
        self.row = 0  # the key of the task's row, once it is queued

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


def put(function: str, *args: int | str, key: str, delay: float = 0) -> int:
    """Put a task into the lane of this key. Gives its row's key; the row stays until the task is done."""
    lane = Lane(key, delay=delay)
    async_task(function, *args, broker=lane)
    return lane.row


def key_of(lane: str) -> str:
    """The lane's name in the queue; several lanes may have the same."""
    return str(settings.LINKDESK_LANES[lane])


def free(key: str) -> int:
    """Make tasks that a dead cluster of this lane had taken due now, not after `retry` (120 s). Gives how many.

    Who else could be there: a cluster of the same lane on another machine. Its tasks may run twice, as any task may.
    """
    now = timezone.now()
    taken = OrmQ.objects.filter(key=key, lock__gt=now).values_list("pk", "lock")
    rows = OrmQ.objects.filter(pk__in=[pk for pk, lock in taken if lock.microsecond % TICK.microseconds])
    return int(rows.update(lock=now))
