"""Budgets: how many requests of a kind pass in a minute or an hour. Exact under any number of threads (`limits`, moving
window).

They live in Redis, and in the process when no Redis is set. While Redis is down, signed requests use a budget of this
process alone: a bridge must not lose events because of us. Logins are refused, as a guesser would be let through.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from importlib import import_module
from ipaddress import ip_address, ip_network
from math import ceil
from typing import Any, Literal, NoReturn, TypeVar

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from rest_framework.request import Request

from accounts.db.counters import count
from api.http.errors import ApiError
from api.models import RateLimitCount

log = logging.getLogger(__name__)
T = TypeVar("T")
Per = Literal["minute", "hour"]

REDIS_PATIENCE = 0.5  # seconds for one answer
VOUCHED_FOR = 300.0  # seconds in which an address that has shown a good credential is not refused
VOUCHED_AT_MOST = 10_000  # addresses
LONGEST_ADDRESS = 45  # characters, as wide as the audit's column
TRY_REDIS_AGAIN = 5.0  # seconds; waiting for a dead Redis in every request would stop us too

_redis_down_until = 0.0
_vouched: dict[str, float] = {}  # until when, by owner of the budget
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Budget:
    """`name` is the class of requests, and `owner` has the budget, such as "workspace 3"."""

    name: str
    owner: str
    at_most: int
    per: Per = "minute"


def spend(budget: Budget) -> None:
    """Take one from the budget. Raises ApiError 429 when none is left, and counts that."""
    retry_after = _take(budget)
    if retry_after is not None:
        _refuse(budget, retry_after)


def spend_up_to(budget: Budget, wanted: int) -> tuple[int, ApiError | None]:
    """Take as many as are left, at most `wanted`. Returns how many, and the refusal of the others, not counted.

    A twin that takes some between two looks leaves less for this one: never do more pass than the budget has.
    """
    retry_after = _take(budget, wanted)
    if retry_after is None:
        return wanted, None
    left = min(wanted - 1, _left(budget))
    taken = left if left and _take(budget, left) is None else 0
    return taken, _refusal(budget, retry_after)


def _refuse(budget: Budget, retry_after: int) -> NoReturn:
    count_refused(budget, 1)
    raise _refusal(budget, retry_after)


def count_refused(budget: Budget, times: int) -> None:
    try:
        count(RateLimitCount, times, owner=budget.owner, name=budget.name)
    except DatabaseError:
        log.warning("a refusal of %s was not counted", budget.name)


def _refusal(budget: Budget, retry_after: int) -> ApiError:
    kind = f"the class '{budget.name}' in {'an hour' if budget.per == 'hour' else 'a minute'}"
    text = f"More than {budget.at_most} requests of {kind}. Send this again later."
    return ApiError(429, "RATE_LIMITED", text, retry_after=retry_after)


def spend_or_refuse(budget: Budget) -> None:
    """Do as `spend`, for requests that must not pass uncounted: 503 while Redis is down."""
    retry_after = _take_from_redis(budget) if settings.REDIS_URL else _take_here(budget)
    if isinstance(retry_after, _Down):
        raise ApiError(503, "LIMITER_DOWN", "This is not possible right now. Try again soon.", retry_after=10)
    if retry_after is not None:
        _refuse(budget, retry_after)


def guarded(authenticate: Callable[[Any, Request], T]) -> Callable[[Any, Request], T]:
    """Wrap an authentication: an address that keeps failing is refused before any work.

    Each kind of credential has a budget of its own, and an address that has lately shown a good one is not refused:
    a bridge whose cleanup has no token, or that stands behind one router with a guesser, keeps its webhooks.
    """

    @wraps(authenticate)
    def run(self: Any, request: Request) -> T:
        budget = _of_stranger(request._request, kind=type(self).__name__)
        if budget and not _is_vouched(budget) and not _has_left(budget):
            _refuse(budget, retry_after=60)
        try:
            found = authenticate(self, request)
        except ApiError as error:
            if budget and error.status_code == 401:
                _take(budget)
            raise
        if budget:
            _vouch(budget)
        return found

    return run


def is_welcome(request: Any, *, kind: str) -> bool:
    """Whether an address has shown a good credential of this kind lately, or is trusted: no budget of it is asked."""
    budget = _of_stranger(request, kind=kind)
    return budget is None or _is_vouched(budget)


def passes(budget: Budget) -> bool:
    """Take one without an error: False when none was left."""
    return _take(budget) is None


def address_of(request: HttpRequest) -> str:
    """The client's address; a proxy is believed only when it is named in LINKDESK_TRUSTED_PROXIES."""
    forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return _normal(forwarded) if forwarded and is_from_proxy(request) else _peer_of(request)


def is_from_proxy(request: HttpRequest) -> bool:
    """Whether a proxy of ours sent this: what it says of a request is believed."""
    return _is_in(_peer_of(request), settings.LINKDESK_TRUSTED_PROXIES)


def _peer_of(request: HttpRequest) -> str:
    return _normal(request.META.get("REMOTE_ADDR") or "0.0.0.0")  # noqa: S104  # stands for "unknown"


@lru_cache(maxsize=4096)
def _normal(address: str) -> str:
    """An IPv4 address is written `::ffff:203.0.113.7` by a server that listens on IPv6, where all of them would share
    one /64."""
    try:
        known = ip_address(address)
    except ValueError:
        return address[:LONGEST_ADDRESS]
    return str(getattr(known, "ipv4_mapped", None) or known)[:LONGEST_ADDRESS]


def _of_stranger(request: HttpRequest, *, kind: str) -> Budget | None:
    address = address_of(request)
    if _is_in(address, settings.LINKDESK_TRUSTED_NETWORKS):
        return None
    return Budget("strangers", f"{kind} from {network_of(address)}", settings.LINKDESK_LIMIT_STRANGERS)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return an IPv4 address, or the /64 of an IPv6 address: one visitor has that many."""
    try:
        return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address
    except ValueError:
        return address


def _is_vouched(budget: Budget) -> bool:
    return _vouched.get(budget.owner, 0.0) > time.monotonic()


def _vouch(budget: Budget) -> None:
    if len(_vouched) > VOUCHED_AT_MOST:
        _vouched.clear()
    _vouched[budget.owner] = time.monotonic() + VOUCHED_FOR


def _is_in(address: str, networks: list[str]) -> bool:
    """The networks were checked at start; the text that a proxy or a test sends need not be an address."""
    if not networks:
        return False
    try:
        known = ip_address(address)
    except ValueError:
        return False
    return any(known in ip_network(network) for network in networks)


class _Down:
    """Redis did not answer."""


_DOWN = _Down()


def _take(budget: Budget, wanted: int = 1) -> int | None:
    """Take so many and return None, or take none and return the seconds until one is left."""
    taken = _take_from_redis(budget, wanted) if settings.REDIS_URL else _DOWN
    return _take_here(budget, wanted) if isinstance(taken, _Down) else taken


def _take_from_redis(budget: Budget, wanted: int = 1) -> int | _Down | None:
    return _ask_redis(lambda limiter: _take_from(limiter, budget, wanted))


def _ask_redis(work: Callable[[MovingWindowRateLimiter], T]) -> T | _Down:
    global _redis_down_until
    if time.monotonic() < _redis_down_until:
        return _DOWN
    try:
        return work(_shared(settings.REDIS_URL))
    except StorageError:
        _redis_down_until = time.monotonic() + TRY_REDIS_AGAIN
        log.error("Redis does not answer: budgets are kept by this process alone")
        return _DOWN


def _take_here(budget: Budget, wanted: int = 1) -> int | None:
    """Take one in memory, where the library lets 101 of 100 pass under 32 threads (measured); in Redis it is exact."""
    with _one_at_a_time:
        return _take_from(_local(), budget, wanted)


def _take_from(limiter: MovingWindowRateLimiter, budget: Budget, wanted: int) -> int | None:
    item = _item(budget)
    if limiter.hit(item, budget.name, budget.owner, cost=wanted):
        return None
    return max(1, ceil(limiter.get_window_stats(item, budget.name, budget.owner).reset_time - time.time()))


def _item(budget: Budget) -> RateLimitItem:
    return (RateLimitItemPerHour if budget.per == "hour" else RateLimitItemPerMinute)(budget.at_most)


def _has_left(budget: Budget) -> bool:
    return _left(budget) > 0


def _left(budget: Budget) -> int:
    item = _item(budget)

    def look(limiter: MovingWindowRateLimiter) -> int:
        return limiter.get_window_stats(item, budget.name, budget.owner).remaining

    left = _ask_redis(look) if settings.REDIS_URL else _DOWN
    return look(_local()) if isinstance(left, _Down) else left


@lru_cache(maxsize=1)
def _local() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())


@lru_cache(maxsize=1)
def _shared(url: str) -> MovingWindowRateLimiter:
    import_module("redis")  # wholly: `limits` takes one that another thread is importing for version 0
    patience = {"socket_timeout": REDIS_PATIENCE, "socket_connect_timeout": REDIS_PATIENCE}
    return MovingWindowRateLimiter(storage_from_string(url, wrap_exceptions=True, **patience))


def forget() -> None:
    """Fill all budgets again."""
    global _redis_down_until
    _redis_down_until = 0.0
    _vouched.clear()
    _local.cache_clear()
    if settings.REDIS_URL:
        _shared(settings.REDIS_URL).storage.reset()
