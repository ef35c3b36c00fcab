"""Putting work into django-q2, now or later. The queue is a hint: a sweep over the rows finds what it lost."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.tasks import async_task


class Later(ORM):  # type: ignore[misc]  # the library ships no types
    """The ORM broker for a task that is not due yet: a worker takes a row once its `lock` has passed."""

    def __init__(self, *, delay: float) -> None:
        super().__init__()
        self.delay = delay

    def enqueue(self, task: str) -> int:
        lock = timezone.now() + timedelta(seconds=self.delay)
        row = self.get_connection().create(key=self.list_key, payload=task, lock=lock)
        return int(row.pk)


def enqueue(task: str, *ids: int, delay: float = 0) -> None:
    """Run `accounts.tasks.<task>(*ids)` in `delay` seconds. Inside a transaction, a rollback leaves no task.

    Pass ids only: arguments are pickled into the database and shown in the admin.
    """
    options: dict[str, Any] = {"broker": Later(delay=delay)} if delay else {}
    async_task(f"accounts.tasks.{task}", *ids, **options)
