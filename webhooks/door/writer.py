"""One thread stores all that comes through the door: while it commits, the next batch gathers."""

import asyncio
import logging
import threading
from collections import defaultdict
from itertools import islice
from queue import Empty, Full, Queue
from typing import NamedTuple

from django.db import connection

from accounts.db.transactions import wait_at_most
from webhooks import authentication
from webhooks.door import batch
from webhooks.door.arrivals import Arrival

log = logging.getLogger(__name__)

AT_ONCE = 500  # events of one transaction: more would hold their locks for long
WAITING_AT_MOST = 2_000  # events; more than a writer stores within a second on a slow disk
WAITS_AT_MOST = 8  # seconds: the bridge waits 10
LOCK_PATIENCE = 2  # seconds: one locked session holds up the messages of all others


class Waiting(NamedTuple):
    arrival: Arrival
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[None]"


class Writer:
    """It begins with the first event, in the process that takes it."""

    def __init__(self) -> None:
        self._waiting: Queue[Waiting] = Queue(WAITING_AT_MOST)
        self._begin = threading.Lock()
        self._thread: threading.Thread | None = None

    async def store(self, arrival: Arrival) -> bool:
        """Wait until the event has its answer, or is left for Django. False: too many wait, or for too long."""
        loop = asyncio.get_running_loop()
        waiting = Waiting(arrival, loop, loop.create_future())
        try:
            self._waiting.put_nowait(waiting)
        except Full:
            return False
        self._ensure_thread()
        try:
            await asyncio.wait_for(waiting.done, WAITS_AT_MOST)
        except TimeoutError:  # it may still be stored: sent again, it changes nothing
            return False
        return True

    def _ensure_thread(self) -> None:
        with self._begin:
            if self._thread is None or not self._thread.is_alive():
                # A daemon: what it has not committed has had no answer, and is sent again.
                self._thread = threading.Thread(target=self._run, name="webhook writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            gathered = [self._waiting.get(), *islice(iter(self._next, None), AT_ONCE - 1)]
            try:
                _apply([waiting.arrival for waiting in gathered])
            except Exception as error:  # whatever it is, Django has not seen these events yet
                log.error("a batch of %s events: %s", len(gathered), type(error).__name__)
            finally:
                _settle(gathered)

    def _next(self) -> Waiting | None:
        try:
            return self._waiting.get_nowait()
        except Empty:
            return None


def _apply(arrivals: list[Arrival]) -> None:
    """The connection is kept as long as it works."""
    if connection.errors_occurred:
        connection.close()
    if connection.connection is None:
        wait_at_most(LOCK_PATIENCE)
    authentication.keep_fresh()
    batch.apply(arrivals)


def _settle(gathered: list[Waiting]) -> None:
    by_loop = defaultdict(list)
    for waiting in gathered:
        by_loop[waiting.loop].append(waiting.done)
    for loop, futures in by_loop.items():
        try:
            loop.call_soon_threadsafe(_release, futures)
        except RuntimeError:  # the server has stopped: nobody waits any more
            log.warning("%s answers found no server", len(futures))


def _release(futures: "list[asyncio.Future[None]]") -> None:
    for future in futures:
        if not future.done():  # a sender that went away has cancelled it
            future.set_result(None)
