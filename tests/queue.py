"""The queue, run in the test's own process: the tasks and their order are the real ones."""

from datetime import timedelta
from importlib import import_module

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
        task = SignedPackage.loads(row.payload)
        module, _, name = task["func"].rpartition(".")
        getattr(import_module(module), name)(*task["args"])
        ran += 1
