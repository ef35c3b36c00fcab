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
