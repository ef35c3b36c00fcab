from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.access.command import AuditedCommand
from accounts.db.transactions import patiently
from accounts.models import Workspace
from api.models import Scope, WorkspaceToken


class Command(AuditedCommand):
    help = "Create a token for the operator API; it stands alone on the last line and is shown only now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workspace", type=int, help="its id")
        parser.add_argument("--name", default="", help="what it is for")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help="what it may do: read, link (start pairings), manage (reset, interrupt); repeat it; default: all",
        )
        parser.add_argument("--expires-days", type=int, help="days that it is good for; default: until it is revoked")

    def handle(self, *args: Any, workspace: int, name: str, expires_days: int | None, **options: Any) -> None:
        if not Workspace.objects.filter(pk=workspace).exists():
            raise CommandError(f"There is no workspace {workspace}. Make one with create_workspace NAME.")
        if expires_days is not None and not 1 <= expires_days <= 3650:
            raise CommandError("--expires-days must be between 1 and 3650.")
        scopes = [scope for scope in Scope.values if scope in (options["scope"] or Scope.values)]
        self.stdout.write(self._issue(workspace, name=name, scopes=" ".join(scopes), expires_in_days=expires_days))

    @patiently
    def _issue(self, workspace: int, **wanted: Any) -> str:
        token = WorkspaceToken.issue(workspace, **wanted)
        self.note("workspacetoken.add", WorkspaceToken.objects.get(prefix=token[:10], workspace=workspace), None)
        return token
