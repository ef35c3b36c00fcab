"""Sends the letters of the outbox: in order within a session, and sessions in parallel."""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import partial

import aiohttp

from bridge import VERSION
from bridge.database import Database
from bridge.logs import place_of
from bridge.outbox import store
from bridge.outbox.signing import signed_headers
from bridge.outbox.store import Letter
from bridge.settings import Settings

log = logging.getLogger("bridge.outbox.store.sender")

PATH = "/api/whatsapp/webhooks/webjs"
AT_ONCE = 10  # as many sockets as the bridge of the contract opens (contract 1.2)
LONGEST_WAIT = 60.0
# A proxy's mistaken Retry-After of a year must not hold a session's events until they die.
LONGEST_RETRY_AFTER = 3600.0
RETRIED_4XX = frozenset({408, 425, 429})
# `outbox retry` writes to the file from another process, so the file must be polled.
LOOK_EVERY = 2.0
# Only the spread matters, not secrecy; SystemRandom is used because it needs no seed.
JITTER = random.SystemRandom()


def backoff(attempts: int, *, base: float) -> float:
    """Return the seconds to the next try: base, doubled each time, and spread by half so that sessions drift apart."""
    return min(LONGEST_WAIT, base * 2.0 ** min(attempts, 10) * JITTER.uniform(0.5, 1.5))


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that Retry-After asks for (a number or an HTTP date); 0 when absent or not understood."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return 0.0
    try:
        seconds = float(value) if value.isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


class Sender:
    """Runs one task for each session with letters to send; the task ends when no letter is left."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._nudged: set[str] = set()
        self._sending: set[str] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._look: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        self._http = aiohttp.ClientSession(
            # No kept connections: a POST on one that the portal has just closed fails and costs a wait.
            connector=aiohttp.TCPConnector(limit=AT_ONCE, force_close=True),
            timeout=aiohttp.ClientTimeout(total=self._settings.webhook_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._look = asyncio.create_task(self._look_for_work())

    async def stop(self, *, grace: float) -> None:
        """POSTs that are under way may finish within `grace` seconds; the rest waits on disk."""
        self._stopping = True
        if self._look:
            self._look.cancel()
        tasks = list(self._workers.values())
        sending = [self._workers[session_id] for session_id in self._sending]
        if sending:
            await asyncio.wait(sending, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.close()

    def nudge(self, session_id: str) -> None:
        """Send this session's letters: there is a new one."""
        self._nudged.add(session_id)
        if session_id not in self._workers and not self._stopping:
            task = asyncio.create_task(self._work(session_id))
            self._workers[session_id] = task

    async def _look_for_work(self) -> None:
        while True:
            try:
                for session_id in await self._database.run(store.waiting_sessions):
                    self.nudge(session_id)
            except Exception as error:
                log.error("outbox not readable error=%s", place_of(error))
            await asyncio.sleep(LOOK_EVERY)

    async def _work(self, session_id: str) -> None:
        try:
            while not self._stopping and await self._send_next(session_id):
                pass
        except Exception as error:
            # The disk may be full, for instance. The letter is still stored, and the next poll finds it.
            log.error("delivery stopped session=%s error=%s", session_id, place_of(error))
        finally:
            del self._workers[session_id]

    async def _send_next(self, session_id: str) -> bool:
        """Return False when the session has no letter left. A nudge that comes while we look finds this worker and
        starts no other, so we look again."""
        self._nudged.discard(session_id)
        letter = await self._database.run(partial(store.head, session_id=session_id))
        if letter is None:
            return session_id in self._nudged
        wait = letter.next_try_at - time.time()
        # A longer wait only means that the clock was set back: the letter is due.
        if 0 < wait <= LONGEST_RETRY_AFTER:
            # The wait is cut into slices: a newer code may replace this one, or a stop may come.
            await asyncio.sleep(min(wait, LOOK_EVERY))
            return True
        async with self._slots:
            if not self._stopping:
                await self._try_one(letter)
        return True

    async def _try_one(self, letter: Letter) -> None:
        self._sending.add(letter.session_id)
        try:
            await self._try(letter)
        finally:
            self._sending.discard(letter.session_id)

    async def _try(self, letter: Letter) -> None:
        try:
            status, asked = await self._post(letter)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            await self._retry(letter, error=type(error).__name__)
            return
        if 200 <= status < 300:
            await self._database.run(partial(store.delivered, letter=letter))
            log.info("delivered event=%s session=%s id=%s", letter.event, letter.session_id, letter.event_id)
        elif status >= 500 or status in RETRIED_4XX:
            await self._retry(letter, error=f"HTTP {status}", asked=asked)
        else:
            # A 3xx counts too: following it turns the POST into a GET that succeeds and loses the event (contract 1.2).
            await self._bury(letter, error=f"HTTP {status}")

    async def _post(self, letter: Letter) -> tuple[int, float]:
        url = self._settings.linkdesk_url + PATH
        request = self._http.post(url, data=letter.body, headers=self._headers(letter, url), allow_redirects=False)
        async with request as response:
            return response.status, retry_after(response.headers)

    def _headers(self, letter: Letter, url: str) -> dict[str, str]:
        return {
            "Accept": "application/json, text/plain, */*",
            "Content-Type": "application/json",
            "X-Instance-Url": f"http://localhost:{self._settings.port}",
            "User-Agent": f"Linkdesk-Bridge/{VERSION}",
            "Connection": "close",
        } | signed_headers(
            self._settings.hmac_secret,
            "POST",
            url,
            body=letter.body,
            boot=letter.boot,
            sequence=letter.sequence,
            event_id=letter.event_id,
        )

    async def _retry(self, letter: Letter, *, error: str, asked: float = 0.0) -> None:
        at = time.time() + max(asked, backoff(letter.attempts, base=self._settings.retry_base))
        if at > letter.give_up_at:
            await self._bury(letter, error=f"{error}, given up after 24 h")
            return
        await self._database.run(partial(store.try_later, letter=letter, at=at, error=error))
        log.warning(
            "will retry event=%s session=%s try=%d error=%r",
            letter.event,
            letter.session_id,
            letter.attempts + 1,
            error,
        )

    async def _bury(self, letter: Letter, *, error: str) -> None:
        await self._database.run(partial(store.bury, letter=letter, error=error))
        log.error("dead letter event=%s session=%s error=%r", letter.event, letter.session_id, error)
