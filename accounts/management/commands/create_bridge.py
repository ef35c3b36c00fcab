import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from accounts.access.command import AuditedCommand
from accounts.models import Bridge, BridgeSecret
from accounts.reconcile import polling


class Command(AuditedCommand):
    help = "Create a bridge and print its credentials, which are shown only now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--url", required=True, help="where its HTTP API answers, such as http://10.0.0.5:3001")
        parser.add_argument("--hmac-secret", help="made up when not given")
        parser.add_argument("--api-key", help="made up when not given")
        parser.add_argument("--can-unlink", action="store_true", help="it takes DELETE with logout, as bridge/ does")

    def handle(self, *args: Any, name: str, url: str, **options: Any) -> None:
        hmac_secret = options["hmac_secret"] or secrets.token_urlsafe(32)
        api_key = options["api_key"] or secrets.token_urlsafe(32)
        capabilities = ["logout"] if options["can_unlink"] else []
        try:
            with transaction.atomic():
                bridge = Bridge(name=name, url=url, capabilities=capabilities)
                bridge.full_clean()
                bridge.save()
                self.note("bridge.add", bridge, None)
                for kind, value in ((BridgeSecret.Kind.HMAC, hmac_secret), (BridgeSecret.Kind.API_KEY, api_key)):
                    self.note("bridgesecret.add", _add(bridge, kind, value), None)
                polling.poll_new(bridge.pk)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"Bridge {bridge.name} has the id {bridge.pk}. Give it these; they are not shown again:")
        self.stdout.write(f"HMAC_SECRET={hmac_secret}\nAPI_KEY={api_key}")


def _add(bridge: Bridge, kind: BridgeSecret.Kind, value: str) -> BridgeSecret:
    secret = BridgeSecret(bridge=bridge, kind=kind, value=value)
    secret.full_clean()
    secret.save()
    return secret
