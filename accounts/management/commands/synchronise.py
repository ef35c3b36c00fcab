from typing import Any

from django_q.models import Schedule

from accounts.access.changes import between, state_of
from accounts.access.command import AuditedCommand
from accounts.jobs.schedules import synchronise


class Command(AuditedCommand):
    help = "Brings the queue's schedules in line with the jobs of this version and LINKDESK_LANES. Safe to run again."

    def handle(self, *args: Any, **options: Any) -> None:
        before = {row.pk: (row, state_of(row)) for row in Schedule.objects.all()}
        self.stdout.write(f"{synchronise()} jobs are on schedule.")
        for row, state in ({row.pk: (row, None) for row in Schedule.objects.all()} | before).values():
            if between(Schedule, state, state_of(row)):
                self.note("schedule.synchronise", row, state)
