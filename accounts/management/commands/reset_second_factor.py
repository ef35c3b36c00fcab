from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from accounts.access import second_factor
from accounts.access.changes import Change
from accounts.access.command import AuditedCommand
from accounts.models import User


class Command(AuditedCommand):
    help = "Take the second factor from somebody who has lost the phone and the recovery codes. It is audited."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the user name")
        parser.add_argument("--reason", default="")

    def handle(self, *args: Any, name: str, reason: str, **options: Any) -> None:
        try:
            user = User.objects.get_by_natural_key(name)
            with transaction.atomic():
                second_factor.reset(user)
                self.note_change("user.reset_second_factor", user, Change(), reason=reason)
        except User.DoesNotExist as error:
            raise CommandError(f"There is no user {name}.") from error
        except second_factor.FactorRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{user} logs in with the password now, and sets up a new one where a role requires it.")
