import json
import os
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.access.command import AuditedCommand
from accounts.models import Bridge, BridgeSecret, User, Workspace
from accounts.pairing.invitations import invite

USER_NAME = "admin"


class Command(AuditedCommand):
    """Makes the data that `make run` shows. Safe to run again: it finds its own rows, and makes a new invitation."""

    help = "Make the demo's workspace, bridge and admin user, and print what a newcomer needs."

    def handle(self, *args: Any, **options: Any) -> None:
        made = credentials(settings.DATA_DIR / "demo.json")
        with transaction.atomic():
            workspace, _ = Workspace.objects.get_or_create(name="Demo", defaults={"country": "ID"})
            _bridge(made)
            _admin(made["password"])
        self.stdout.write(f"Linking page: {invite(workspace.pk, label='First phone')}")
        self.stdout.write(f"Admin: {settings.PUBLIC_URL}/admin/ user={USER_NAME} password={made['password']}")


def credentials(file: Path) -> dict[str, str]:
    """The demo's secrets, made once; the supervisor hands the bridge's to the bridge."""
    if not file.exists():
        made = {name: secrets.token_urlsafe(24) for name in ("hmac_secret", "api_key")}
        made["password"] = secrets.token_urlsafe(9)
        file.touch(mode=0o600)
        file.write_text(json.dumps(made))
    loaded: dict[str, str] = json.loads(file.read_text())
    return loaded


def _bridge(made: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{os.environ.get('BRIDGE_PORT', '3001')}"
    values = {"url": url, "capabilities": ["qr", "pairing_code", "logout"], "library": "simulated"}
    bridge, _ = Bridge.objects.update_or_create(name="simulated", defaults=values)
    for kind, name in ((BridgeSecret.Kind.HMAC, "hmac_secret"), (BridgeSecret.Kind.API_KEY, "api_key")):
        if made[name] not in bridge.secrets(kind):
            BridgeSecret.objects.create(bridge=bridge, kind=kind, value=made[name])


def _admin(password: str) -> None:
    user, created = User.objects.get_or_create(
        username=USER_NAME, defaults={"is_staff": True, "is_superuser": True, "email": "admin@localhost"}
    )
    if created or not user.check_password(password):
        user.set_password(password)
        user.save()
