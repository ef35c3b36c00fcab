from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from accounts.access.changes import Change, of_form
from accounts.access.command import AuditedCommand
from accounts.db.transactions import patiently
from accounts.models import LinkInvitation, Workspace
from accounts.models.invitation import hash_token
from accounts.pairing.invitations import invite


class Command(AuditedCommand):
    help = "Make or find an account and print the URL of a linking page for it, alone on the last line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workspace", type=int, help="its id")
        parser.add_argument("--label", default="")
        parser.add_argument("--phone", help="the number that must link")

    def handle(self, *args: Any, workspace: int, label: str, phone: str | None, **options: Any) -> None:
        try:
            self.stdout.write(self._invite(workspace, label=label, phone=phone))
        except Workspace.DoesNotExist as error:
            raise CommandError(f"There is no workspace {workspace}. Make one with create_workspace NAME.") from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error

    @patiently
    def _invite(self, workspace: int, *, label: str, phone: str | None) -> str:
        address = invite(workspace, label=label, phone=phone)
        made = LinkInvitation.objects.select_related("account").get(token_hash=hash_token(address.split("/")[-2]))
        self.note_change("account.invite", made.account, Change(after=of_form({"label": label, "phone": phone})))
        return address
