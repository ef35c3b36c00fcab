"""Asks a bridge how it is and what it runs, and finds out whether several processes answer in turn.

A process is told apart by its uptime, which never falls and never grows faster than time; by how many sessions it says
it runs; and by the sessions that it lists. A poll asks three times. When anything is odd, or a link is missed again, it
asks so often in a row that each process has its turn: their lists together name all that runs.
"""

import itertools
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.bridges import client, in_turn
from accounts.bridges.client import BridgeError, Running
from accounts.models import Bridge, ReconcileRun

Sign = ReconcileRun.Sign

OLDEST = 10 * 365 * 86_400  # seconds; a longer uptime is no uptime
# Seconds by which an uptime may seem to grow faster than time: two clocks, and a bridge that tells whole seconds.
JITTER, WHOLE_SECONDS = 0.05, 1.0
ROW_WITHIN = 9  # seconds; two rows fit into a poll (polling.WITHIN), also when their last answers are slow
# One process lists a session, then not, then again, only when it closes and opens it meanwhile. Nobody does so twice
# within a second; processes that answer in turn do.
CHANGES = 3


@dataclass(frozen=True)
class Health:
    """What /health said; nothing, where a bridge has none. `sent`, `came`: when it was asked and had answered, by a
    clock that nobody sets; `at`: when it had, by the other one."""

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


@dataclass(frozen=True)
class Survey:
    """`heard_all`: several processes answered, and `listed` is what all of them run. `sign`: what the answers show."""

    health: Health
    listed: dict[str, Running]
    sign: ReconcileRun.Sign | None = None
    heard_all: bool = False


def take(bridge: Bridge, *, is_doubtful: bool) -> Survey:
    """Ask the bridge. `is_doubtful`: by its earlier answers it may be several processes. Raises BridgeError."""
    healths = [_ask(bridge)]
    if healths[0].uptime is not None:
        healths.append(_ask(bridge))
    listed = client.running_sessions(bridge)
    if not is_doubtful and not _is_odd(healths, listed):
        return Survey(healths[-1], listed)
    healths += [_ask(bridge) for _ in in_turn.in_a_row(within=ROW_WITHIN)]
    lists = [listed, *(client.running_sessions(bridge) for _ in in_turn.in_a_row(within=ROW_WITHIN))]
    return _judge(healths, lists)


def _judge(healths: Sequence[Health], lists: Sequence[dict[str, Running]]) -> Survey:
    """Of several processes the oldest one stands for the bridge, for it is the same in the next survey."""
    sign, whole = _sign(healths, lists), in_turn.merged(lists)
    if sign != Sign.SEVERAL:
        return Survey(healths[-1], whole, sign)
    oldest = max(healths, key=lambda health: health.uptime or 0)
    return Survey(oldest, whole, sign, heard_all=len(lists) > in_turn.IN_A_ROW)


def _ask(bridge: Bridge) -> Health:
    """A bridge without /health still has a list."""
    sent = time.monotonic()
    try:
        said = client.health(bridge)
    except BridgeError as error:
        if error.code is None:
            raise
        return Health()
    return Health(said, sent, time.monotonic())


def _is_odd(healths: Sequence[Health], listed: Mapping[str, Running]) -> bool:
    """Whether two answers do not fit one process in which nothing happens."""
    totals = {health.total for health in healths if health.total is not None}
    return _are_several(healths) or bool(totals - {len(listed)})


def _sign(healths: Sequence[Health], lists: Sequence[Mapping[str, Running]]) -> ReconcileRun.Sign | None:
    named = set().union(*lists)
    changes = [_changes(session_id in listed for listed in lists) for session_id in named]
    changes.append(_changes(health.total for health in healths))
    if _are_several(healths) or max(changes) >= CHANGES:
        return Sign.SEVERAL
    return Sign.DIFFERS if any(changes) or _is_odd(healths[:2], lists[0]) else None


def _changes(values: Iterable[object]) -> int:
    return sum(before != after for before, after in itertools.pairwise(values))


def _are_several(healths: Sequence[Health]) -> bool:
    return any(_are_two(before, after) for before, after in itertools.pairwise(healths))


def _are_two(before: Health, after: Health) -> bool:
    """Whether two processes gave these answers, and none replaced the other in between.

    A machine that stands still for a moment, or a clock that does, makes an uptime grow less than time, never more.
    """
    if before.uptime is None or after.uptime is None:
        return False
    passed, grown = after.came - before.sent, after.uptime - before.uptime
    if grown < 0:
        return after.uptime > passed  # else it was started anew since
    jitter = WHOLE_SECONDS if after.uptime.is_integer() else JITTER
    return grown > passed + jitter
