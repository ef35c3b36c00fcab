from typing import Any

from accounts.access.command import AuditedCommand
from accounts.jobs.schedules import synchronise


class Command(AuditedCommand):
    help = "Brings the queue's schedules in line with the jobs of this version and LINKDESK_LANES. Safe to run again."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{synchronise()} jobs are on schedule.")
