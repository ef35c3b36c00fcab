from typing import Any

from django.core.management.base import BaseCommand

from accounts.jobs.schedules import synchronise


class Command(BaseCommand):
    help = "Brings the queue's schedules in line with the jobs of this version and LINKDESK_LANES. Safe to run again."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{synchronise()} jobs are on schedule.")
