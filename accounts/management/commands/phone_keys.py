from typing import Any

from accounts.access.changes import CHANGED, Change
from accounts.access.command import AuditedCommand
from accounts.models import Account
from accounts.pairing import phone_keys


class Command(AuditedCommand):
    """Run it after a change of accounts/numbering_plans.py; safe to repeat, and beside a portal that works."""

    help = "Compute the identity key of every phone number anew, and say whose has changed."

    def handle(self, *args: Any, **options: Any) -> None:
        changes = phone_keys.compute_anew()
        for change in changes:
            # Each workspace is a transaction of its own; these come after all of them.
            after = {"phone_key": CHANGED, "twin_of": f"#{change.twin_of}" if change.twin_of else ""}
            self.note_change("account.phone_keys", Account.objects.get(pk=change.account), Change(after=after))
            twin = (
                f", and has the phone of account {change.twin_of}: staff decide in the admin" if change.twin_of else ""
            )
            self.stdout.write(f"account {change.account}: its key has changed{twin}")  # no number: this may be kept
        self.stdout.write(f"{len(changes)} accounts changed.")
