"""A bridge's signature, in its two versions, and the headers beside it (docs/bridge-api.md, "Signing").

Version 1 covers the timestamp and the body, as a Node bridge signs. Version 2 covers all that decides about a request.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from api.http.errors import ApiError

VERSION_1, VERSION_2 = "X-HMAC-Signature", "X-HMAC-Signature-V2"
TIMESTAMP = "X-Timestamp"
EVENT_ID, BOOT, SEQUENCE = "X-Event-Id", "X-Bridge-Boot", "X-Bridge-Sequence"
FIRST_LINE = "linkdesk-2"  # a text of version 1 begins with a digit, so none equals one of version 2
LONGEST_ID = 64
SEQUENCE_DIGITS = 18


class Signable(Protocol):
    """As much of a request as its signature covers: DRF's, or the door's (webhooks/door/request.py)."""

    @property
    def method(self) -> str | None: ...
    @property
    def headers(self) -> Any: ...
    @property
    def body(self) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Signed:
    """The parts of a request that version 2 covers. No part has a line break; an absent header is empty."""

    method: str
    path: str  # with the query, as on the request line
    timestamp: str
    event_id: str
    boot: str
    sequence: str
    body: bytes

    @property
    def text(self) -> bytes:
        """One part on each line, so that nothing can be shifted from one to the next; the body as its SHA-256."""
        headers = (self.timestamp, self.event_id, self.boot, self.sequence)
        lines = (FIRST_LINE, self.method, self.path, *headers, hashlib.sha256(self.body).hexdigest())
        return "\n".join(lines).encode()


def version_1(secret: bytes, timestamp: str, body: bytes) -> bytes:
    """Return the signature in lower-case hex."""
    return hmac.new(secret, timestamp.encode() + body, hashlib.sha256).hexdigest().encode()


def version_2(secret: bytes, signed: Signed) -> bytes:
    """Return the signature in lower-case hex."""
    return hmac.new(secret, signed.text, hashlib.sha256).hexdigest().encode()


def is_signed(request: Signable) -> bool:
    return any(name in request.headers for name in (VERSION_1, VERSION_2, TIMESTAMP))


def version_of(request: Signable) -> str:
    """Return the header of the version that the request is signed by. Raises ApiError 401 where there are two."""
    if VERSION_2 not in request.headers:
        return VERSION_1
    if VERSION_1 in request.headers:
        raise ApiError(401, "TWO_SIGNATURES", f"Send {VERSION_1} or {VERSION_2}, not both.")
    return VERSION_2


def signs(request: Signable, version: str, timestamp: str) -> Callable[[bytes], bytes]:
    """Return what signs this request with a given secret. Raises ApiError 400 for a header that no bridge sends."""
    body: bytes = request.body
    if version == VERSION_1:
        return lambda secret: version_1(secret, timestamp, body)
    signed = Signed(
        method=request.method or "",
        path=_request_line(request),
        timestamp=timestamp,
        event_id=short_header(request, EVENT_ID),
        boot=short_header(request, BOOT),
        sequence=short_header(request, SEQUENCE),
        body=body,
    )
    return lambda secret: version_2(secret, signed)


def _request_line(request: Signable) -> str:
    """The path and the query as they were sent. A server that does not pass them on leaves the path decoded: then it
    is encoded as Django does, which may be another spelling of it."""
    asked: Any = getattr(request, "_request", request)  # Django's, of which DRF makes its own
    path = getattr(asked, "scope", {}).get("raw_path")  # ASGI
    if path is None:
        sent: str = asked.META.get("REQUEST_URI") or asked.META.get("RAW_URI") or asked.get_full_path()  # WSGI
        return sent
    query = asked.META.get("QUERY_STRING", "")
    return f"{path.decode('latin-1')}{'?' if query else ''}{query}"


def replay_key(request: Signable, version: str) -> str:
    """Return a key that only the very same request has: a retry has a new timestamp and signature."""
    text = f"{request.headers[TIMESTAMP]}:{request.headers[version]}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def short_header(request: Signable, name: str) -> str:
    """Return an id in a header, empty when absent. Raises ApiError 400 unless it is short printable ASCII."""
    value: str = request.headers.get(name, "")
    if len(value) > LONGEST_ID or not value.isascii() or not value.isprintable():
        raise ApiError(400, "INVALID_HEADER", f"{name} must be at most 64 printable ASCII characters.")
    return value


def sequence_of(request: Signable) -> int | None:
    """Return X-Bridge-Sequence, None when absent. Raises ApiError 400."""
    value = short_header(request, SEQUENCE)
    if value and not (value.isdigit() and len(value) <= SEQUENCE_DIGITS):
        raise ApiError(400, "INVALID_HEADER", f"{SEQUENCE} must be a whole number.")
    return int(value) if value else None
