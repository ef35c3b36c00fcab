"""Tells the portal what this bridge is and runs, and follows the instructions in the answer (contract 5.1)."""

import asyncio
import logging
from collections.abc import Coroutine
from itertools import count

from bridge.logs import place_of
from bridge.outbox.sender import JITTER
from bridge.portal import Portal, PortalError, PortalInstructions
from bridge.sessions.registry import Registry
from bridge.sessions.restore import Restorer

log = logging.getLogger("bridge.heartbeat")

LONGEST_BEAT = 10.0
SOON = 5.0  # seconds to the next one while the portal does not answer: it gives an unheard bridge no sessions
LAST_BEAT = 1.0  # seconds; the bridge is stopping and has an outbox to flush


class Heartbeat:
    """A heartbeat is sent each `every` seconds; 0 means none."""

    def __init__(self, registry: Registry, portal: Portal, *, restorer: Restorer, every: float) -> None:
        self._registry = registry
        self._portal = portal
        self._restorer = restorer
        self._every = every
        self._tasks: set[asyncio.Task[None]] = set()
        self._unheard = False
        self._numbers = count(1)

    def start(self) -> None:
        if self._every:
            self._run(self._go_on())

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def last(self) -> None:
        """Says that it is draining, so that nothing new is sent here. The answer is left to the next process."""
        await self.stop()
        if self._every:
            await self._tell(timeout=LAST_BEAT)

    def _run(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _go_on(self) -> None:
        """Beat at once; a random first wait parts bridges that start together. A portal that comes up hears us soon."""
        wait = self._every * JITTER.uniform(0.5, 1)
        while True:
            # A beat runs as a task of its own: its restores may take longer than the time to the next beat.
            self._run(self._beat())
            await asyncio.sleep(soon := min(wait, SOON))
            if not self._unheard:
                await asyncio.sleep(wait - soon)
                wait = self._every

    async def _beat(self) -> None:
        try:
            with self._registry.moment() as moment:
                advice = await self._tell(timeout=min(LONGEST_BEAT, self._every))
                if advice:
                    await self._follow(advice, moment=moment)
        except Exception as error:
            log.error("heartbeat broke off error=%s", place_of(error))

    async def _follow(self, advice: PortalInstructions, *, moment: int) -> None:
        for session_id in advice.stop:
            await self._registry.stop_untouched(session_id, moment=moment)
        await self._restorer.restore(advice.restore, moment=moment)

    async def _tell(self, *, timeout: float) -> PortalInstructions | None:
        """Return None when the portal did not answer. That is logged once, until the portal answers again."""
        try:
            advice = await self._portal.heartbeat(
                self._said(), boot=self._registry.boot, sequence=next(self._numbers), timeout=timeout
            )
        except PortalError as error:
            if not self._unheard:
                log.warning("heartbeat not heard error=%s", error)
            self._unheard = True
            return None
        if self._unheard:
            log.info("heartbeat heard again")
        self._unheard = False
        return advice

    def _said(self) -> dict[str, object]:
        registry = self._registry
        return {
            "library": registry.engine.library,
            "version": registry.engine.version,
            "capacity": registry.capacity,
            "capabilities": list(registry.engine.capabilities),
            "boot": registry.boot,
            "draining": registry.draining,
            "sessions": [
                {"session_id": session.session_id, "status": session.status, "phone_number": session.phone_number}
                for session in registry.running()
            ],
        }
