from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Workspace


class Command(BaseCommand):
    help = "Create a workspace; its id stands alone on the last line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        if not name.strip():
            raise CommandError("A workspace needs a name.")
        self.stdout.write(str(Workspace.objects.create(name=name.strip()).pk))
