"""Asks a bridge how it is and what it runs, and finds out whether several processes answer in turn.

A process is told apart by its uptime (bridges/health.py); by how many sessions it says it runs; and by the sessions
that it lists. A poll asks three times. When anything is odd, or a link is missed again, it asks so often in a row that
each process has its turn: their lists together name all that runs.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from accounts.bridges import client, health, in_turn
from accounts.bridges.client import Running
from accounts.bridges.health import Health
from accounts.bridges.in_turn import Heard
from accounts.models import Bridge, ReconcileRun

Sign = ReconcileRun.Sign

# Seconds for a row; both fit into a poll (polling.WITHIN), also when their last answers are slow.
HEALTH_WITHIN, LISTS_WITHIN = 5.0, 15.0
# One process lists a session, then not, then again, only when it closes and opens it meanwhile. Nobody does so twice
# within a row; processes that answer in turn do.
RETURNS = 2


@dataclass(frozen=True)
class Survey:
    """`sign`: what the answers show. `heard_all`: `listed` is proven to be what all processes run."""

    health: Health
    listed: dict[str, Running]
    sign: ReconcileRun.Sign | None = None
    heard_all: bool = False


def take(bridge: Bridge, *, is_doubtful: bool) -> Survey:
    """Ask the bridge. `is_doubtful`: by its earlier answers it may be several processes. Raises BridgeError."""
    healths = [health.ask(bridge)]
    if healths[0].uptime is not None:
        healths.append(health.ask(bridge))
    listed = client.running_sessions(bridge)
    if not is_doubtful and not _is_odd(healths, listed):
        return Survey(healths[-1], listed)
    row = in_turn.ask(lambda: health.ask(bridge), is_enough=_are_a_few, within=HEALTH_WITHIN, first=healths)
    healths = row.answers
    processes = health.told_apart(healths)
    return _judge(healths, in_turn.hear_all(bridge, first=[listed], processes=processes, within=LISTS_WITHIN))


def _are_a_few(answers: Sequence[object]) -> bool:
    return len(answers) >= in_turn.A_FEW


def _judge(healths: Sequence[Health], heard: Heard) -> Survey:
    """Of several processes the oldest one stands for the bridge, for it is the same in the next survey."""
    sign, told = _sign(healths, heard.lists), [one for one in healths if one.said]
    speaker = told[-1] if told else healths[-1]
    if sign == Sign.SEVERAL:
        speaker = max(healths, key=lambda one: one.uptime or 0)
    return Survey(speaker, heard.listed, sign, heard_all=heard.is_all)


def _is_odd(healths: Sequence[Health], listed: Mapping[str, Running]) -> bool:
    """Whether two answers do not fit one process in which nothing happens."""
    totals = {one.total for one in healths if one.total is not None}
    return health.are_several(healths) or bool(totals - {len(listed)})


def _sign(healths: Sequence[Health], lists: Sequence[Mapping[str, Running]]) -> ReconcileRun.Sign | None:
    named = set().union(*lists)
    returns = max((_returns(session_id in listed for listed in lists) for session_id in named), default=0)
    if health.are_several(healths) or returns >= RETURNS:
        return Sign.SEVERAL
    changed = any(session_id not in listed for listed in lists for session_id in named)
    return Sign.DIFFERS if changed or _is_odd(healths, lists[0]) else None


def _returns(values: Iterable[object]) -> int:
    """How often a value is there again after another one was."""
    kept = [value for value, _run in itertools.groupby(values)]
    return sum(value in kept[:number] for number, value in enumerate(kept))
