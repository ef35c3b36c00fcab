from typing import Any

from cryptography.fernet import InvalidToken
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction

from accounts.access.changes import CHANGED, Change
from accounts.access.command import AuditedCommand
from accounts.db import locks
from accounts.models import BridgeSecret


class Command(AuditedCommand):
    help = "Write every bridge secret anew, with the first of FIELD_ENCRYPTION_KEYS and SECRET_KEY. Safe to run again."

    def handle(self, *args: Any, **options: Any) -> None:
        pks = list(BridgeSecret.objects.order_by("pk").values_list("pk", flat=True))
        left = [f"#{pk} ({problem})" for pk in pks if (problem := self._write_anew(pk))]
        self.stdout.write(f"{len(pks) - len(left)} of {len(pks)} bridge secrets are written anew.")
        if left:
            raise CommandError(f"Left as they were: {', '.join(left)}. Keep the old keys, or replace these secrets.")

    def _write_anew(self, pk: int) -> str:
        """Encrypt it anew. Gives what prevents that; empty: nothing. Who else could be there: staff who retire it."""
        try:
            with transaction.atomic():
                secret = locks.row(BridgeSecret, pk=pk)
                secret.save(update_fields=["value", "fingerprint"])
                self.note_change("bridgesecret.rotate_keys", secret, Change(after={"value": CHANGED}))
        except InvalidToken:
            return "no key decrypts it"
        except IntegrityError:  # added after SECRET_KEY was changed, when the twin was not recognised
            return "another bridge has the same"
        return ""
