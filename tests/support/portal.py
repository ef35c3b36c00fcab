"""A bridge's view of the portal: its row here, and signed requests over the real URL."""

import itertools
import time
from typing import Any

from django.utils import timezone

from accounts.models import Bridge, BridgeSecret, LinkSession
from tests.support.door import DoorClient
from tests.support.signing import signed_headers

PHONE = "6281167328422"


def make_bridge(name: str, url: str = "http://127.0.0.1:1", **values: Any) -> Bridge:
    """One that was heard of just now: no other gets a session."""
    values = {"capabilities": ["logout"], "last_heard_at": timezone.now()} | values
    bridge = Bridge.objects.create(name=name, url=url, **values)
    BridgeSecret.objects.create(bridge=bridge, kind=BridgeSecret.Kind.HMAC, value=f"{name}-hmac")
    BridgeSecret.objects.create(bridge=bridge, kind=BridgeSecret.Kind.API_KEY, value=f"{name}-key")
    return bridge


class Portal:
    """A bridge's view of the portal: signed requests over the real URL, and the answers."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.tick = itertools.count()
        self.client = DoorClient(raise_request_exception=False)

    def post(self, event: str, session: LinkSession | str, **more: Any) -> Any:
        session_id = session if isinstance(session, str) else session.session_id
        return self.send({"event": event, "data": {"workspace_id": 1, "session_id": session_id, **more}})

    def send(self, body: Any, *, headers: Any = None, **extra: str) -> Any:
        # A second for each request: the very same body in the very same second is a replay.
        raw, signed = signed_headers(self.secret, body, at=int(time.time()) - 200 + next(self.tick) % 400)
        return self.client.post(
            "/api/whatsapp/webhooks/webjs", raw, "application/json", headers=(headers or signed) | extra
        )
