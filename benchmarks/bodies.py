"""Webhooks as a Node bridge sends them, signed by version 1, as bytes that are ready for the wire."""

import hashlib
import hmac
import itertools
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

WEBHOOK, BATCH = "/api/whatsapp/webhooks/webjs", "/api/whatsapp/webhooks/batch"
IN_A_BATCH = 100
CYCLE = ("session_authenticated", "session_ready", "session_disconnected")
_numbers = itertools.count()
_run = uuid.uuid4().hex[:12]


def request(secret: str, path: str, body: Any, *, close: bool = False) -> bytes:
    raw = json.dumps(body, separators=(",", ":")).encode()
    at = str(int(time.time()))
    signature = hmac.new(secret.encode(), at.encode() + raw, hashlib.sha256).hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-HMAC-Signature: {signature}\r\nX-Timestamp: {at}\r\n"
        f"Connection: {'close' if close else 'keep-alive'}\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


def message(session_id: str) -> dict[str, Any]:
    said = {
        "id": f"false_6281234567890@c.us_{_run}{next(_numbers):012X}",
        "from": "6281234567890@c.us",
        "to": "6281167328422@c.us",
        "body": "Is the blue one still there? I would come by on Tuesday.",
        "timestamp": int(time.time()),
        "from_me": False,
        "type": "chat",
        "has_media": False,
        "chat_type": "private",
    }
    return {"event": "message_received", "data": {"workspace_id": 1, "session_id": session_id, "message": said}}


def lifecycle(session_id: str, event: str) -> dict[str, Any]:
    """`session_id` ends in the digits of its phone."""
    more = {
        "session_authenticated": {"status": "authenticated"},
        "session_ready": {"status": "connected", "phone_number": session_id.rpartition("_")[2], "platform": "android"},
        "session_disconnected": {"reason": "NAVIGATION"},
    }[event]
    return {"event": event, "data": {"workspace_id": 1, "session_id": session_id, **more}}


def messages(secret: str, path: str, sessions: list[str]) -> Iterator[bytes]:
    for session_id in itertools.cycle(sessions):
        yield request(secret, path, message(session_id))


def batches(secret: str, path: str, sessions: list[str]) -> Iterator[bytes]:
    names = itertools.cycle(sessions)
    while True:
        events = [message(session_id) for session_id in itertools.islice(names, IN_A_BATCH)]
        yield request(secret, path, {"events": events})


def cycles(secret: str, path: str, sessions: list[str]) -> Iterator[bytes]:
    """Each session is scanned, ready and lost, once; so all of it is applied, and it comes to an end."""
    for session_id in sessions:
        for event in CYCLE:
            yield request(secret, path, lifecycle(session_id, event))


KINDS = {"messages": messages, "batches": batches, "cycles": cycles}
