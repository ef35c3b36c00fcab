"""The schedule of all jobs, as data. `migrate` and `manage.py synchronise` write it into the queue's own table."""

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext_noop
from django_q.models import OrmQ, Schedule

from accounts.db.transactions import atomically
from accounts.jobs.queue import key_of


@dataclass(frozen=True)
class Job:
    name: str  # of its row; it is stored untranslated, and the admin translates it
    function: str  # takes nothing; its result is kept for people to read
    minutes: int
    lane: str = "default"


JOBS = (
    Job(gettext_noop("deliver forgotten orders"), "accounts.tasks.sweep_orders", 1, "orders"),
    Job(gettext_noop("end overdue pairings"), "accounts.tasks.expire_overdue", 1),
    Job(gettext_noop("recover lost links"), "accounts.tasks.recover_lost", 1),
    Job(gettext_noop("go on with moves"), "accounts.tasks.continue_moves", 1),
    Job(gettext_noop("move the lines on"), "accounts.tasks.advance_lines", 1),
    Job(gettext_noop("poll bridges without heartbeat"), "accounts.tasks.poll_bridges", 1),
    Job(gettext_noop("watch the bridges"), "accounts.tasks.watch_bridges", 1),
    Job(gettext_noop("clean up what is long over"), "accounts.tasks.clean_up", 60, "low"),
    Job(gettext_noop("retry failed webhook events"), "webhooks.inbox.process.sweep", 1),
    Job(gettext_noop("delete what has grown old"), "accounts.housekeeping.retention.run", 60, "low"),
    Job(gettext_noop("delete old webhook events"), "webhooks.retention.run", 60, "low"),
)


@atomically
def synchronise() -> int:
    """Write one Schedule row for each job, and delete all others; safe to repeat, keeps `next_run` of existing rows.

    Gives how many jobs there are. Tasks in lanes that no longer exist go to the default one.
    """
    for job in JOBS:
        rows = Schedule.objects.filter(name=job.name).order_by("pk")
        Schedule.objects.filter(pk__in=list(rows.values_list("pk", flat=True))[1:]).delete()  # two made it at once
        Schedule.objects.update_or_create(name=job.name, defaults=_row(job))
    Schedule.objects.exclude(name__in=[job.name for job in JOBS]).delete()
    OrmQ.objects.exclude(key__in=settings.LINKDESK_LANES.values()).update(key=key_of("default"))
    return len(JOBS)


def _row(job: Job) -> dict[str, object]:
    return {
        "func": "accounts.jobs.running.run",
        "args": repr(job.name),
        "intended_date_kwarg": "due",
        "schedule_type": Schedule.MINUTES,
        "minutes": job.minutes,
        "repeats": -1,
        "cluster": key_of(job.lane),
    }
