from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from accounts.access.command import AuditedCommand
from accounts.models import Workspace
from accounts.pairing.invitations import invite


class Command(AuditedCommand):
    help = "Make or find an account and print the URL of a linking page for it, alone on the last line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workspace", type=int, help="its id")
        parser.add_argument("--label", default="")
        parser.add_argument("--phone", help="the number that must link")

    def handle(self, *args: Any, workspace: int, label: str, phone: str | None, **options: Any) -> None:
        try:
            self.stdout.write(invite(workspace, label=label, phone=phone))
        except Workspace.DoesNotExist as error:
            raise CommandError(f"There is no workspace {workspace}. Make one with create_workspace NAME.") from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
