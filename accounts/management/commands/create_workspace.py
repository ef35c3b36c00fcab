from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from accounts.access.command import AuditedCommand
from accounts.models import Workspace
from accounts.models.workspace import default_country


class Command(AuditedCommand):
    help = "Create a workspace; its id stands alone on the last line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--country", help="two letters, such as ID: numbers may be written as people do there")

    def handle(self, *args: Any, name: str, country: str | None, **options: Any) -> None:
        if not name.strip():
            raise CommandError("A workspace needs a name.")
        workspace = Workspace(name=name.strip(), country=default_country() if country is None else country.upper())
        try:
            workspace.full_clean()
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        with transaction.atomic():
            workspace.save()
            self.note("workspace.add", workspace, None)
        self.stdout.write(str(workspace.pk))
