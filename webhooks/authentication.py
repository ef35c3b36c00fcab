"""Authentication of bridges, by webhook signature or by API key.

Nothing is written before the signature holds. An unknown secret and a wrong signature are one and the same 401.
"""

import hmac
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import cast

from cryptography.fernet import InvalidToken
from django.db import DatabaseError
from django.db.models import Count, Max
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.db.transactions import hardly_waiting
from accounts.models import Bridge, BridgeSecret
from api.authentication import Caller
from api.http.errors import ApiError
from api.http.rate_limit import guarded
from webhooks.signature import EVENT_ID, TIMESTAMP, VERSION_1, VERSION_2, Signable, signs, version_of

WINDOW = 300  # seconds either way between X-Timestamp and our clock, as the portal that Linkdesk replaces has it
log = logging.getLogger(__name__)

SECRETS_KEPT = 10  # seconds: reading and decrypting them for every event would cost more than the event
CHECKED_EVERY = 1  # seconds between two looks whether one was added or retired, which costs one short query
LOOK_EVERY = 1  # seconds between two looks for a secret that was added
# A stranger's wrong signature must not cost a new bridge its first event, nor may many of them hold up the process: so
# many waits for the next look in the time for which secrets are kept, and so many requests that share one.
WAITS, WAITING_AT_MOST = 2, 32


@dataclass(frozen=True)
class Secrets:
    """The active secrets as they were read: (kind, bridge, value) each. `state` differs once one was added."""

    rows: tuple[tuple[str, int, bytes], ...] = ()
    state: tuple[int, int] = (0, 0)  # the newest row's key, and how many rows there are
    read_at: float = -inf
    checked_at: float = -inf  # when they were found to be all, and none retired
    until: float = -inf  # they are taken as they are


UNREAD = Secrets()
_secrets = UNREAD
_looked_at = 0.0
_waited_at: deque[float] = deque(maxlen=WAITS)
_one_at_a_time, _one_looks = threading.Lock(), threading.Lock()
_waiting = threading.BoundedSemaphore(WAITING_AT_MOST)
_signing_by_2: set[int] = set()  # bridges, as this process last read it; for when the database cannot be asked


class BridgeSignature(BaseAuthentication):
    """HMAC-SHA256, in one of two versions."""

    @guarded
    def authenticate(self, request: Request) -> tuple[Caller, int]:
        version = version_of(request)
        timestamp = _timestamp(request)
        given = _header(request, version).encode("utf-8", "surrogateescape")
        bridge_id = _known(request, BridgeSecret.Kind.HMAC, given, signs(request, version, timestamp))
        if bridge_id is None:
            raise ApiError(401, "INVALID_SIGNATURE", "The signature does not match. Check the secret of this bridge.")
        _hold_to(version, bridge_id)
        return Caller(), bridge_id

    def authenticate_header(self, request: Request) -> str:
        return VERSION_1


class BridgeKey(BaseAuthentication):
    """The API key, as X-API-Key or as a bearer token."""

    @guarded
    def authenticate(self, request: Request) -> tuple[Caller, int]:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        key = (request.headers.get("X-API-Key") or bearer).encode("utf-8", "surrogateescape")
        bridge_id = _known(request, BridgeSecret.Kind.API_KEY, key, lambda secret: secret)
        if bridge_id is None:
            raise ApiError(401, "INVALID_KEY", "The API key is missing or unknown. Check the key of this bridge.")
        return Caller(), bridge_id

    def authenticate_header(self, request: Request) -> str:
        return "X-API-Key"


def bridge_of(request: Request) -> int:
    """Return the primary key of the authenticated bridge."""
    return cast(int, request.auth)


def recognise(request: Signable) -> int | None:
    """Return the bridge that has signed, by the secrets as they were read within the last second, without a query.

    None: it takes a query to know. Raises ApiError as `BridgeSignature`. That the bridge signs by the version that it
    is held to is for the caller to check.
    """
    secrets = _secrets
    if secrets.checked_at + CHECKED_EVERY < time.monotonic():
        return None
    version = version_of(request)
    given = _header(request, version).encode("utf-8", "surrogateescape")
    return _match(secrets, BridgeSecret.Kind.HMAC, given, signs(request, version, _timestamp(request)))


def keep_fresh() -> None:
    """Look whether a secret was added or retired, if the last look is half as old as it may get."""
    if _secrets.checked_at + CHECKED_EVERY / 2 < time.monotonic():
        with _one_at_a_time:
            _renew()


def forget_secrets() -> None:
    """Drop the cached secrets; the next request reads them again."""
    global _secrets, _looked_at
    _secrets, _looked_at = UNREAD, 0.0
    _waited_at.clear()
    _signing_by_2.clear()


def _hold_to(version: str, bridge_id: int) -> None:
    """Note that a bridge signs by version 2. From then on version 1, which covers no header, is refused."""
    if version == VERSION_2:
        _note_version_2(bridge_id)
    elif _has_shown_version_2(bridge_id):
        text = "This bridge signs by version 2, so version 1 is refused. Staff can allow it again on the bridge's page."
        raise ApiError(401, "VERSION_1_REFUSED", text)


def _note_version_2(bridge_id: int) -> None:
    """Losing the note is better than losing the event: the next one makes it."""
    try:
        if not _has_shown_version_2(bridge_id):
            with hardly_waiting():
                Bridge.objects.filter(pk=bridge_id, version_2_since=None).update(version_2_since=timezone.now())
            _signing_by_2.add(bridge_id)
    except DatabaseError:
        log.warning("bridge %s: could not note that it signs by version 2", bridge_id)


def _has_shown_version_2(bridge_id: int) -> bool:
    """Ask the database each time, as staff may reset it; while that is in trouble, the last answer counts."""
    try:
        shown = Bridge.objects.filter(pk=bridge_id, version_2_since__isnull=False).exists()
    except DatabaseError:
        return bridge_id in _signing_by_2
    (_signing_by_2.add if shown else _signing_by_2.discard)(bridge_id)
    return shown


def _known(request: Request, kind: BridgeSecret.Kind, given: bytes, expected: Callable[[bytes], bytes]) -> int | None:
    """Return the bridge whose secret fits. A secret that was just added is looked for before one is refused."""
    came_at = time.monotonic()
    try:
        secrets = _current()
        found = _match(secrets, kind, given, expected)
        if found is None and (newer := _look_again(request, came_at=came_at)) is not secrets:
            found = _match(newer, kind, given, expected)
    except DatabaseError as error:
        raise busy(request) from error
    return found


def _match(secrets: Secrets, kind: BridgeSecret.Kind, given: bytes, expected: Callable[[bytes], bytes]) -> int | None:
    """Return the bridge whose secret fits. All are tried, so that the timing does not reveal which one it was."""
    found = None
    for its_kind, bridge_id, secret in secrets.rows:
        if its_kind == kind and hmac.compare_digest(expected(secret), given):
            found = bridge_id
    return found


def _current() -> Secrets:
    """Return the cached secrets, read anew when they are old. Raises DatabaseError when there are none yet."""
    if _secrets.until < time.monotonic():
        with _one_at_a_time:  # the others find them read
            if _secrets.until < time.monotonic():
                _renew()
    return _secrets


def _renew() -> None:
    global _secrets
    try:
        _check()
    except DatabaseError:
        if _secrets is UNREAD:
            raise
        log.warning("secrets of the bridges could not be read anew: those of before are used")
        _secrets = replace(_secrets, until=time.monotonic() + SECRETS_KEPT)


def _check() -> None:
    """Read them again if one was added or retired, or if they are old."""
    global _secrets, _looked_at
    is_old = _secrets.read_at + SECRETS_KEPT < time.monotonic()
    if not is_old and _state_of_table() == _secrets.state:
        _looked_at = time.monotonic()
        _secrets = replace(_secrets, checked_at=_looked_at, until=_looked_at + CHECKED_EVERY)
    else:
        _secrets = _read()


def _look_again(request: Request, *, came_at: float) -> Secrets:
    """Return the secrets, read anew if one was added since. At most one look a second, however many callers there are.

    They wait for the one that looks: the first events of a new bridge may come together. Raises ApiError 429 or 503,
    which a bridge repeats, where too many wait.
    """
    if not _waiting.acquire(blocking=False):
        raise busy(request)
    try:
        with _one_looks:
            if _looked_at < came_at and _may_look():
                _look()
    finally:
        _waiting.release()
    return _secrets


def _may_look() -> bool:
    """Whether the last look is a second ago, or so long is waited, which is done now and then only."""
    now = time.monotonic()
    too_early_by = _looked_at + LOOK_EVERY - now
    if too_early_by <= 0:
        return True
    if len(_waited_at) == WAITS and now - _waited_at[0] < SECRETS_KEPT:
        return False
    _waited_at.append(now)
    time.sleep(too_early_by)
    return True


def _look() -> None:
    global _looked_at
    with _one_at_a_time:
        _check()
        _looked_at = time.monotonic()


def _state_of_table() -> tuple[int, int]:
    counted = BridgeSecret.objects.filter(retired_at=None).aggregate(newest=Max("pk"), rows=Count("pk"))
    return counted["newest"] or 0, counted["rows"]


def _read() -> Secrets:
    """Read all at once; one by one where a row cannot be decrypted, as it must not shut out all bridges."""
    active = BridgeSecret.objects.filter(retired_at=None)
    try:
        readable = list(active)
        keys = [row.pk for row in readable]
    except InvalidToken:
        keys = list(active.values_list("pk", flat=True))
        readable = [row for row in map(_read_one, keys) if row]
    rows = tuple((row.kind, row.bridge_id, row.value.encode()) for row in readable)
    now = time.monotonic()
    return Secrets(rows, (max(keys, default=0), len(keys)), now, now, now + CHECKED_EVERY)


def _read_one(pk: int) -> BridgeSecret | None:
    try:
        return BridgeSecret.objects.filter(pk=pk).first()
    except InvalidToken:
        log.error("bridge secret %s cannot be decrypted with FIELD_ENCRYPTION_KEYS", pk)
        return None


def _timestamp(request: Signable) -> str:
    """Return X-Timestamp as the text that was sent, because that text is signed."""
    text = _header(request, TIMESTAMP)
    if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        raise ApiError(401, "INVALID_TIMESTAMP", "X-Timestamp must be Unix seconds, in decimal digits.")
    if abs(time.time() - int(text)) > WINDOW:
        raise ApiError(401, "STALE_TIMESTAMP", "X-Timestamp is more than 300 s off. Set the clock of the bridge.")
    return text


def _header(request: Signable, name: str) -> str:
    value: str = request.headers.get(name, "")
    if not value:
        raise ApiError(401, "MISSING_HEADER", f"The header {name} is missing.")
    return value


def busy(request: Signable) -> ApiError:
    """429 is the only answer that a bridge without event ids tries again; one with them knows a 503."""
    status = 503 if request.headers.get(EVENT_ID) else 429
    return ApiError(status, "BUSY", "We cannot take this right now. Send it again.", retry_after=2)
