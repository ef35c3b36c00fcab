from typing import Any

from django.core.management.base import BaseCommand

from accounts.pairing import phone_keys


class Command(BaseCommand):
    """Run it after a change of accounts/numbering_plans.py; safe to repeat, and beside a portal that works."""

    help = "Compute the identity key of every phone number anew, and say whose has changed."

    def handle(self, *args: Any, **options: Any) -> None:
        changes = phone_keys.compute_anew()
        for change in changes:
            self.stdout.write(f"account {change.account}: {_words(change)}")
        self.stdout.write(f"{len(changes)} keys changed.")


def _words(change: phone_keys.Change) -> str:
    """Without the number, as whoever runs it may keep what it prints."""
    if change.key is None:
        return f"has the same phone as account {change.twin_of}, which holds the key; staff decide in the admin"
    return "has a key now" if change.was is None else "has another key now"
