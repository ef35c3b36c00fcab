"""What `bridge/` signs is what the portal verifies, with every header that it sends."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import Bridge, BridgeProcess, LinkSession
from bridge.outbox.signing import signed_headers
from webhooks.models import WebhookEvent

HOST = "http://testserver"
EVENTS, HEARTBEATS = "/api/whatsapp/webhooks/webjs", "/api/whatsapp/bridges/heartbeat"


def send(path: str, said: Any, **named: Any) -> Any:
    body = json.dumps(said).encode()
    headers = signed_headers("alpha-hmac", "POST", HOST + path, body=body, **named)
    return Client().post(path, body, "application/json", headers=headers)


def test_an_event(session: LinkSession) -> None:
    said = {"event": "session_authenticated", "data": {"session_id": session.session_id}}
    answer = send(EVENTS, said, boot="boot-a", sequence=12, event_id="evt-1")
    assert answer.json()["outcome"] == "applied"
    event = WebhookEvent.objects.get()
    assert (event.event_id, event.boot, event.sequence) == ("evt-1", "boot-a", 12)


def test_a_heartbeat(bridge: Bridge) -> None:
    said = {"library": "x", "version": "1", "boot": "boot-a", "sessions": []}
    assert send(HEARTBEATS, said, boot="boot-a", sequence=3).status_code == 200
    assert BridgeProcess.objects.get().heartbeat_sequence == 3
    bridge.refresh_from_db()
    assert bridge.version_2_since is not None


@pytest.mark.parametrize("query", ["", "?a=1", "?a=1&b=%20x", "?q=%C3%A9"])
def test_a_path_with_a_query(bridge: Bridge, query: str) -> None:
    said = {"library": "x", "version": "1", "boot": "boot-a", "sessions": []}
    assert send(HEARTBEATS + query, said, boot="boot-a", sequence=3).status_code == 200
