"""The queue, run in the test's own process: the tasks and their order are the real ones."""

from datetime import timedelta
from importlib import import_module
from threading import Event

from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage


def run_due_tasks(*, within: float = 0) -> int:
    """Run what is due now or within so many seconds, and what that enqueues, until nothing is left."""
    ran = 0
    while True:
        row = OrmQ.objects.filter(lock__lte=timezone.now() + timedelta(seconds=within)).order_by("lock", "pk").first()
        if row is None or ran > 200:
            return ran
        row.delete()
        _run(row)
        ran += 1


def work(until: Event) -> None:
    """As one of several workers, each of which takes what is due."""
    while not until.is_set():
        row = OrmQ.objects.filter(lock__lte=timezone.now()).order_by("lock", "pk").first()
        if row is not None and OrmQ.objects.filter(pk=row.pk).delete()[0]:
            _run(row)
        else:
            until.wait(0.05)


def _run(row: OrmQ) -> None:
    task = SignedPackage.loads(row.payload)
    module, _, name = task["func"].rpartition(".")
    getattr(import_module(module), name)(*task["args"], **task["kwargs"])
