"""Requests as a bridge signs them, written from the contract and not from the portal's code."""

import hashlib
import hmac
import json
import time
from typing import Any


def signed_headers(secret: str, body: Any, *, at: int | None = None) -> tuple[bytes, dict[str, str]]:
    """Compact JSON and its headers; `at` is Unix seconds, now when not given."""
    raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    timestamp = str(int(time.time()) if at is None else at)
    signature = hmac.new(secret.encode(), timestamp.encode() + raw, hashlib.sha256).hexdigest()
    return raw, {"X-Timestamp": timestamp, "X-HMAC-Signature": signature}


def signed_headers_2(
    secret: str,
    body: Any,
    *,
    method: str = "POST",
    path: str = "/api/whatsapp/webhooks/webjs",
    at: int | None = None,
    event_id: str = "",
    boot: str = "",
    sequence: int | str = "",
) -> tuple[bytes, dict[str, str]]:
    """The same by version 2: one part a line, and a header that is not sent is an empty line."""
    raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    timestamp = str(int(time.time()) if at is None else at)
    digest = hashlib.sha256(raw).hexdigest()
    text = f"linkdesk-2\n{method}\n{path}\n{timestamp}\n{event_id}\n{boot}\n{sequence}\n{digest}"
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    sent = {"X-Event-Id": event_id, "X-Bridge-Boot": boot, "X-Bridge-Sequence": str(sequence)}
    headers = {"X-Timestamp": timestamp, "X-HMAC-Signature-V2": signature}
    return raw, headers | {name: value for name, value in sent.items() if value}
