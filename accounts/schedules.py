"""What runs on a schedule, as data. `migrate` brings the queue's own rows in line with it."""

from dataclasses import dataclass

from django_q.models import Schedule


@dataclass(frozen=True)
class Job:
    name: str
    function: str
    minutes: int


JOBS = (
    Job("deliver forgotten orders", "accounts.tasks.sweep_orders", 1),
    Job("end overdue pairings", "accounts.tasks.expire_overdue", 1),
    Job("clean up what is long over", "accounts.tasks.clean_up", 60),
    Job("retry failed webhook events", "webhooks.inbox.sweep", 1),
    Job("delete what has grown old", "accounts.retention.run", 60),
    Job("delete old webhook events", "webhooks.retention.run", 60),
)


def synchronise() -> None:
    """One Schedule row for each job and none besides; safe to run again, keeps `next_run` of what stands."""
    for job in JOBS:
        Schedule.objects.update_or_create(
            name=job.name,
            defaults={
                "func": job.function,
                "schedule_type": Schedule.MINUTES,
                "minutes": job.minutes,
                "repeats": -1,
            },
        )
    Schedule.objects.exclude(name__in=[job.name for job in JOBS]).delete()
