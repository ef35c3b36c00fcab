"""One timer gives all sockets of this process their heartbeat, and asks whether their links are still good.

The turns of the sockets are spread over the time between two heartbeats: the process must not stand still at each.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Collection

from linking.watchers import Watcher, links_of, tell_all, usable

log = logging.getLogger(__name__)

HEARTBEAT = 20  # seconds; the page takes 50 s of silence for a dead socket
TURNS = 20  # in that time


class Heartbeat:
    def __init__(self) -> None:
        self._turns: deque[set[Watcher]] = deque(set() for _ in range(TURNS))  # the next one first
        self._turn_of: dict[Watcher, set[Watcher]] = {}

    def add(self, watcher: Watcher) -> None:
        """Give it a turn that is as late as the others allow: it is told how things are just now."""
        self._turn_of[watcher] = turn = min(reversed(self._turns), key=len)
        turn.add(watcher)

    def remove(self, watcher: Watcher) -> None:
        self._turn_of.pop(watcher, set()).discard(watcher)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT / TURNS)
            turn = self._turns[0]
            self._turns.rotate(-1)
            if turn:
                await _beat(list(turn))


async def _beat(watchers: Collection[Watcher]) -> None:
    try:
        good = await usable(links_of(watchers))
    except Exception:  # the database is away for a moment: the next beat asks again
        log.warning("could not check the links of %s watchers", len(watchers), exc_info=True)
    else:
        await tell_all(watchers, json.dumps({"heartbeat": HEARTBEAT}), good=good)
