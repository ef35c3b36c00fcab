"""Budgets: how many requests of a kind pass in a minute. Exact under any number of threads (`limits`, moving window).

They live in Redis, and in the process when there is none. While Redis is down, signed requests are held to a budget of
this process alone: a bridge must not lose events because of us. Logins are refused, for a guesser would be let through.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from ipaddress import ip_address, ip_network
from math import ceil
from typing import Any, NoReturn, TypeVar

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from rest_framework.request import Request

from accounts.counters import count
from api.errors import ApiError
from api.models import RateLimitCount

log = logging.getLogger(__name__)
T = TypeVar("T")

REDIS_PATIENCE = 0.5  # seconds for one answer
TRY_REDIS_AGAIN = 5.0  # seconds; waiting for a dead one in every request would make us as dead

_redis_down_until = 0.0
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Budget:
    """`name` is the class of requests and `owner` whose budget it is, such as "workspace 3"."""

    name: str
    owner: str
    per_minute: int


def spend(budget: Budget) -> None:
    """Take one from the budget. Raises ApiError 429 when none is left, and counts that."""
    retry_after = _take(budget)
    if retry_after is not None:
        _refuse(budget, retry_after)


def _refuse(budget: Budget, retry_after: int) -> NoReturn:
    try:
        count(RateLimitCount, owner=budget.owner, name=budget.name)
    except DatabaseError:
        log.warning("a refusal of %s was not counted", budget.name)
    text = f"More than {budget.per_minute} requests of the class '{budget.name}' in a minute. Send this again later."
    raise ApiError(429, "RATE_LIMITED", text, retry_after=retry_after)


def spend_or_refuse(budget: Budget) -> None:
    """As `spend`, for what must not pass uncounted: 503 while Redis is down."""
    retry_after = _take_from_redis(budget) if settings.REDIS_URL else _take_here(budget)
    if isinstance(retry_after, _Down):
        raise ApiError(503, "LIMITER_DOWN", "This is not possible right now. Try again soon.", retry_after=10)
    if retry_after is not None:
        _refuse(budget, retry_after)


def guarded(authenticate: Callable[[Any, Request], T]) -> Callable[[Any, Request], T]:
    """Around an authentication: an address that keeps failing is refused before any work."""

    @wraps(authenticate)
    def run(self: Any, request: Request) -> T:
        budget = _of_stranger(request._request)
        if budget and not _has_left(budget):
            raise ApiError(429, "RATE_LIMITED", "Too many failed requests from this address.", retry_after=60)
        try:
            return authenticate(self, request)
        except ApiError as error:
            if budget and error.status_code == 401:
                _take(budget)
            raise

    return run


def address_of(request: HttpRequest) -> str:
    """The client's address; a proxy is believed only when it is named in LINKDESK_TRUSTED_PROXIES."""
    address: str = request.META.get("REMOTE_ADDR") or "0.0.0.0"  # noqa: S104  # stands for "unknown"
    forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return forwarded if forwarded and _is_in(address, settings.LINKDESK_TRUSTED_PROXIES) else address


def _of_stranger(request: HttpRequest) -> Budget | None:
    address = address_of(request)
    if _is_in(address, settings.LINKDESK_TRUSTED_NETWORKS):
        return None
    return Budget("strangers", f"address {address}", settings.LINKDESK_LIMIT_STRANGERS)


def _is_in(address: str, networks: list[str]) -> bool:
    try:
        return any(ip_address(address) in ip_network(network) for network in networks)
    except ValueError:  # what a proxy or a test sends as an address need not be one
        return False


class _Down:
    """Redis did not answer."""


_DOWN = _Down()


def _take(budget: Budget) -> int | None:
    """None: taken. Else the seconds until one is left."""
    taken = _take_from_redis(budget) if settings.REDIS_URL else _DOWN
    return _take_here(budget) if isinstance(taken, _Down) else taken


def _take_from_redis(budget: Budget) -> int | _Down | None:
    global _redis_down_until
    if time.monotonic() < _redis_down_until:
        return _DOWN
    try:
        return _take_from(_shared(settings.REDIS_URL), budget)
    except StorageError:
        _redis_down_until = time.monotonic() + TRY_REDIS_AGAIN
        log.error("Redis does not answer: budgets are kept by this process alone")
        return _DOWN


def _take_here(budget: Budget) -> int | None:
    """In memory the library lets 101 of 100 through under 32 threads (measured); in Redis it is exact."""
    with _one_at_a_time:
        return _take_from(_local(), budget)


def _take_from(limiter: MovingWindowRateLimiter, budget: Budget) -> int | None:
    item = RateLimitItemPerMinute(budget.per_minute)
    if limiter.hit(item, budget.name, budget.owner):
        return None
    return max(1, ceil(limiter.get_window_stats(item, budget.name, budget.owner).reset_time - time.time()))


def _has_left(budget: Budget) -> bool:
    item = RateLimitItemPerMinute(budget.per_minute)
    try:
        limiter = _shared(settings.REDIS_URL) if settings.REDIS_URL else _local()
        return limiter.test(item, budget.name, budget.owner)
    except StorageError:
        return _local().test(item, budget.name, budget.owner)


@lru_cache(maxsize=1)
def _local() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())


@lru_cache(maxsize=1)
def _shared(url: str) -> MovingWindowRateLimiter:
    patience = {"socket_timeout": REDIS_PATIENCE, "socket_connect_timeout": REDIS_PATIENCE}
    return MovingWindowRateLimiter(storage_from_string(url, wrap_exceptions=True, **patience))


def forget() -> None:
    """Fill all budgets again."""
    global _redis_down_until
    _redis_down_until = 0.0
    _local.cache_clear()
    if settings.REDIS_URL:
        _shared(settings.REDIS_URL).storage.reset()
