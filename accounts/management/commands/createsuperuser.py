from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.db.models import Max

from accounts.access.command import AuditedMixin
from accounts.models import User


class Command(AuditedMixin, createsuperuser.Command):
    """Django's own, and its entry in the audit. That comes after it: it asks for a password while it runs."""

    def handle(self, *args: Any, **options: Any) -> None:
        last = User.objects.aggregate(last=Max("pk"))["last"] or 0
        super().handle(*args, **options)
        for user in User.objects.filter(pk__gt=last, is_superuser=True):
            self.note("user.add", user, None)
