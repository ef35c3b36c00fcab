from typing import Any

from accounts.access.command import AuditedCommand
from accounts.pairing import phone_keys


class Command(AuditedCommand):
    """Run it after a change of accounts/numbering_plans.py; safe to repeat, and beside a portal that works."""

    help = "Compute the identity key of every phone number anew, and say whose has changed."

    def handle(self, *args: Any, **options: Any) -> None:
        changes = phone_keys.compute_anew()
        for change in changes:
            twin = (
                f", and has the phone of account {change.twin_of}: staff decide in the admin" if change.twin_of else ""
            )
            self.stdout.write(f"account {change.account}: its key has changed{twin}")  # no number: this may be kept
        self.stdout.write(f"{len(changes)} accounts changed.")
