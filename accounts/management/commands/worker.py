import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.jobs.queue import key_of
from accounts.jobs.watchdog import Patience, Watchdog


class Command(BaseCommand):
    help = "Runs one lane of the queue: a cluster and its watchdog, which ends both when the cluster is stuck."
    requires_system_checks = []  # they may ask the database, which this waits for

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--lane", choices=["orders", "default", "low"], default="default")
        for name, seconds in (("ask-every", Patience.ask_every), ("stuck-after", Patience.stuck_after)):
            parser.add_argument(f"--{name}", type=float, default=seconds, metavar="SECONDS")

    def handle(self, *args: Any, lane: str, ask_every: float, stuck_after: float, **options: Any) -> None:
        watchdog = Watchdog(key_of(lane), Patience(ask_every=ask_every, stuck_after=stuck_after))
        sys.exit(watchdog.run([sys.executable, sys.argv[0], "qcluster"]))
