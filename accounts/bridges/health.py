"""Reads a bridge's /health, and tells processes apart by it: an uptime never falls, and never outruns time."""

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.bridges import client
from accounts.bridges.client import BridgeError
from accounts.models import Bridge

OLDEST = 10 * 365 * 86_400  # seconds; a longer uptime is no uptime
# Seconds by which an uptime may seem to grow faster than time: two clocks, and a bridge that tells whole seconds.
JITTER, WHOLE_SECONDS = 0.05, 1.0


@dataclass(frozen=True)
class Health:
    """An answer of /health. `said` is its JSON, and empty if the bridge has no /health. `sent` and `came` are when it
    was asked and had answered, in seconds of the monotonic clock; `at` is when it had answered, by the wall clock."""

    said: Mapping[str, Any] = field(default_factory=dict)
    sent: float = 0
    came: float = 0
    at: datetime = field(default_factory=timezone.now)

    @property
    def began(self) -> datetime | None:
        return self.at - timedelta(seconds=self.uptime) if self.uptime is not None else None

    @property
    def uptime(self) -> float | None:
        told: Any = self.said.get("uptime")
        is_one = type(told) in {int, float} and math.isfinite(told) and 0 <= told < OLDEST
        return float(told) if is_one else None

    @property
    def total(self) -> int | None:
        sessions = self.said.get("sessions")
        total = sessions.get("total") if isinstance(sessions, dict) else None
        return total if type(total) is int else None


def ask(bridge: Bridge) -> Health:
    """A bridge without /health still has a list. Raises BridgeError."""
    sent = time.monotonic()
    try:
        said = client.health(bridge)
    except BridgeError as error:
        if error.code is None:
            raise
        return Health()
    return Health(said, sent, time.monotonic())


def are_several(healths: Sequence[Health]) -> bool:
    """Whether two neighbouring answers came from two processes, and none replaced the other in between."""
    told = [health for health in healths if health.uptime is not None]
    return any(_are_two(before, after) for before, after in itertools.pairwise(told))


def told_apart(healths: Sequence[Health]) -> int:
    """How many processes these answers came from, at the least: each was started within a span of time."""
    count, last = 0, -math.inf
    for earliest, latest in sorted((_started(health) for health in healths if health.uptime is not None), key=_end):
        if earliest > last:
            count, last = count + 1, latest
    return max(count, 1)


def _are_two(before: Health, after: Health) -> bool:
    """A machine or a clock that stands still for a moment makes an uptime grow less than time, never more."""
    if before.uptime is None or after.uptime is None:
        return False
    passed, grown = after.came - before.sent, after.uptime - before.uptime
    if grown < 0:
        return after.uptime > passed  # else it was started anew since
    return grown > passed + _jitter(after.uptime)


def _started(health: Health) -> tuple[float, float]:
    """The span within which the process that answered was started."""
    uptime = health.uptime or 0
    return health.sent - uptime - _jitter(uptime), health.came - uptime + JITTER


def _end(span: tuple[float, float]) -> float:
    return span[1]


def _jitter(uptime: float) -> float:
    return WHOLE_SECONDS if uptime.is_integer() else JITTER
