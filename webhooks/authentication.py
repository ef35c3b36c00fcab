"""Authentication of bridges, by webhook signature or by API key.

Nothing is written before the signature holds. An unknown secret and a wrong signature are one and the same 401.
"""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable
from typing import cast

from cryptography.fernet import InvalidToken
from django.db import DatabaseError
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.bridges import presence
from accounts.models import BridgeSecret
from api.authentication import Caller
from api.http.errors import ApiError
from api.http.rate_limit import guarded

WINDOW = 300  # seconds either way between X-Timestamp and our clock, as the portal that Linkdesk replaces has it
log = logging.getLogger(__name__)

SECRETS_KEPT = 10  # seconds: reading and decrypting them for every event would cost more than the event

_cache: dict[str, tuple[float, list[tuple[int, bytes]]]] = {}


class BridgeSignature(BaseAuthentication):
    """HMAC-SHA256 over timestamp and raw body (docs/bridge-api.md)."""

    @guarded
    def authenticate(self, request: Request) -> tuple[Caller, int]:
        timestamp = _timestamp(request)
        signature = _header(request, "X-HMAC-Signature").encode("utf-8", "surrogateescape")
        bridge_id = _known(
            request, BridgeSecret.Kind.HMAC, signature, lambda secret: sign(secret, timestamp, request.body)
        )
        if bridge_id is None:
            raise ApiError(401, "INVALID_SIGNATURE", "The signature does not match. Check the secret of this bridge.")
        presence.hear(bridge_id)
        return Caller(), bridge_id

    def authenticate_header(self, request: Request) -> str:
        return "X-HMAC-Signature"


class BridgeKey(BaseAuthentication):
    """The API key, as X-API-Key or as a bearer token."""

    @guarded
    def authenticate(self, request: Request) -> tuple[Caller, int]:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        key = (request.headers.get("X-API-Key") or bearer).encode("utf-8", "surrogateescape")
        bridge_id = _known(request, BridgeSecret.Kind.API_KEY, key, lambda secret: secret)
        if bridge_id is None:
            raise ApiError(401, "INVALID_KEY", "The API key is missing or unknown. Check the key of this bridge.")
        presence.hear(bridge_id)
        return Caller(), bridge_id

    def authenticate_header(self, request: Request) -> str:
        return "X-API-Key"


def bridge_of(request: Request) -> int:
    """Return the primary key of the authenticated bridge."""
    return cast(int, request.auth)


def sign(secret: bytes, timestamp: str, body: bytes) -> bytes:
    """Return the signature in lower-case hex, as the bridge sends it."""
    return hmac.new(secret, timestamp.encode() + body, hashlib.sha256).hexdigest().encode()


def forget_secrets() -> None:
    """Drop the cached secrets; the next request reads them again."""
    _cache.clear()


def _known(request: Request, kind: BridgeSecret.Kind, given: bytes, expected: Callable[[bytes], bytes]) -> int | None:
    try:
        return _match(kind, given, expected)
    except DatabaseError as error:
        raise busy(request) from error


def _match(kind: BridgeSecret.Kind, given: bytes, expected: Callable[[bytes], bytes]) -> int | None:
    """Return the bridge whose secret fits. All are tried, so that the timing does not reveal which one it was."""
    found = None
    for bridge_id, secret in _secrets(kind):
        if hmac.compare_digest(expected(secret), given):
            found = bridge_id
    return found


def _secrets(kind: BridgeSecret.Kind) -> list[tuple[int, bytes]]:
    """Return the bridges' secrets. Raises DatabaseError when they cannot be read and none are cached yet."""
    until, known = _cache.get(kind, (0.0, []))
    if until < time.monotonic():
        try:
            known = _read_secrets(kind)
        except DatabaseError:
            if not known:
                raise
            log.warning("secrets of the bridges could not be read anew: those of before are used")
        _cache[kind] = (time.monotonic() + SECRETS_KEPT, known)
    return known


def _read_secrets(kind: BridgeSecret.Kind) -> list[tuple[int, bytes]]:
    active = BridgeSecret.objects.filter(kind=kind, retired_at__isnull=True)
    readable = []
    for pk in list(active.values_list("pk", flat=True)):  # one by one: one bad row must not shut out all bridges
        try:
            row = active.get(pk=pk)
        except (InvalidToken, BridgeSecret.DoesNotExist):
            log.error("bridge secret %s cannot be decrypted with FIELD_ENCRYPTION_KEYS", pk)
        else:
            readable.append((row.bridge_id, row.value.encode()))
    return readable


def _timestamp(request: Request) -> str:
    """Return X-Timestamp as the text that was sent, because that text is signed."""
    text = _header(request, "X-Timestamp")
    if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        raise ApiError(401, "INVALID_TIMESTAMP", "X-Timestamp must be Unix seconds, in decimal digits.")
    if abs(time.time() - int(text)) > WINDOW:
        raise ApiError(401, "STALE_TIMESTAMP", "X-Timestamp is more than 300 s off. Set the clock of the bridge.")
    return text


def _header(request: Request, name: str) -> str:
    value: str = request.headers.get(name, "")
    if not value:
        raise ApiError(401, "MISSING_HEADER", f"The header {name} is missing.")
    return value


def busy(request: Request) -> ApiError:
    """429 is the only answer that a bridge without event ids tries again; one with them knows a 503."""
    status = 503 if request.headers.get("X-Event-Id") else 429
    return ApiError(status, "BUSY", "We cannot take this right now. Send it again.", retry_after=2)
