from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Workspace
from api.models import WorkspaceToken


class Command(BaseCommand):
    help = "Create a token for the operator API; it stands alone on the last line and is shown only now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workspace", type=int, help="its id")
        parser.add_argument("--name", default="", help="what it is for")

    def handle(self, *args: Any, workspace: int, name: str, **options: Any) -> None:
        if not Workspace.objects.filter(pk=workspace).exists():
            raise CommandError(f"There is no workspace {workspace}. Make one with create_workspace NAME.")
        self.stdout.write(WorkspaceToken.issue(workspace, name=name))
