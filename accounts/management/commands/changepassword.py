import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword

from accounts.access.changes import CHANGED, Change
from accounts.access.command import AuditedMixin
from accounts.models import User


class Command(AuditedMixin, changepassword.Command):
    """Django's own, and its entry in the audit. That comes after it: it asks for a password while it runs."""

    def handle(self, *args: Any, **options: Any) -> str:
        said = str(super().handle(*args, **options))
        user = User.objects.get_by_natural_key(options["username"] or getpass.getuser())
        self.note_change("user.change", user, Change(after={"password": CHANGED}))
        return said
