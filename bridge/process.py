"""The parts of a running bridge, and the order in which they come up and go down."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web

from bridge.database import Database, claim_data_dir
from bridge.engines import load_engine
from bridge.engines.base import Engine
from bridge.errors import ConfigurationError
from bridge.heartbeat import Heartbeat
from bridge.http.server import UNDER_WAY, make_app
from bridge.logs import place_of
from bridge.outbox.sender import Sender
from bridge.portal import Portal
from bridge.sessions.registry import Registry
from bridge.sessions.restore import Restorer
from bridge.settings import Settings

log = logging.getLogger("bridge.process")

STOP_TIMEOUT = 1.0  # seconds for requests and webhooks that are under way
LOOK_EVERY = 0.05


class BridgeServer:
    """The running bridge. `start` raises ConfigurationError. It must be made inside a running event loop."""

    def __init__(self, settings: Settings, *, load: Callable[[Settings], Engine] | None = None) -> None:
        self.settings = settings
        self._lock = claim_data_dir(settings.data_dir)
        try:
            engine = (load or engine_of)(settings)
            self._database = Database(settings.data_dir)
        except BaseException:
            self._lock.close()
            raise
        self._engine = engine
        self._sender = Sender(self._database, settings)
        logins = settings.data_dir / settings.engine
        self.registry = Registry(
            self._database,
            engine,
            sender=self._sender,
            boot=uuid.uuid4().hex,
            capacity=settings.capacity,
            logins=logins,
        )
        portal = Portal(settings)
        self._restorer = Restorer(self.registry, portal, logins=logins)
        self._heartbeat = Heartbeat(self.registry, portal, restorer=self._restorer, every=settings.heartbeat_every)
        self._app = make_app(self.registry, api_key=settings.api_key)
        # There is no access log, because the api_key of a GET is in its query.
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=STOP_TIMEOUT)
        self._restoring: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Return the port it listens on. Clients start only after it listens: a supervisor that keeps trying a port in
        use must not log devices in and out."""
        await self._sender.start()
        await self._restorer.expect_stored(self._database)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port)
        try:
            await site.start()
        except OSError as error:
            where = f"{self.settings.host}:{self.settings.port}"
            await self.stop()
            raise ConfigurationError(f"cannot listen on {where}: {error.strerror}") from error
        self._restoring = asyncio.create_task(self._restorer.run(base=self.settings.retry_base))
        self._restoring.add_done_callback(_tell_if_broken)
        self._heartbeat.start()
        return int(self._runner.addresses[0][1])

    async def drain(self) -> None:
        """New clients are refused from here on; requests under way are finished and the outbox is flushed, all within
        `drain_within` seconds. Letters that are left wait on disk for the next start."""
        end = time.time() + self.settings.drain_within
        self.registry.draining = True
        await self._stop_restoring()
        last = asyncio.create_task(self._heartbeat.last())
        # Requests get half of the time, so that one that hangs leaves some for the outbox.
        await _wait_until(self._nothing_under_way, end=end - self.settings.drain_within / 2)
        # The engine closes before the flush, which would not end while phones send events.
        await self._engine.close()
        await _wait_until(partial(self._nothing_due, before=end), end=end)
        await last

    async def stop(self) -> None:
        """Stop without an event: the sessions come back with the next start."""
        await self._stop_restoring()
        await self._heartbeat.stop()
        await self._runner.cleanup()
        await self._engine.close()
        await self._sender.stop(grace=0 if self.registry.draining else STOP_TIMEOUT)
        self._database.close()
        self._lock.close()

    async def _stop_restoring(self) -> None:
        if self._restoring:
            self._restoring.cancel()
            await asyncio.gather(self._restoring, return_exceptions=True)

    async def _nothing_under_way(self) -> bool:
        return not self._app[UNDER_WAY]

    async def _nothing_due(self, before: float) -> bool:
        return await self.registry.outbox_due(before=before) == 0


def engine_of(settings: Settings) -> Engine:
    return load_engine(settings.engine, settings.data_dir, environ=settings.environ)


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    os.umask(0o077)  # codes and logins are in the data directory
    _make_room(settings.capacity)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _asked_to_stop, stop, number)
    bridge = BridgeServer(settings)
    port = await bridge.start()
    log.info("listening host=%s port=%d boot=%s", settings.host, port, bridge.registry.boot)
    await stop.wait()
    log.info("draining")
    await bridge.drain()
    await bridge.stop()
    log.info("stopped")


def _make_room(capacity: int) -> None:
    """Raise the limit of open files, often 1,024: a session holds a lock file, with some engines also a database."""
    wanted = 512 + 4 * capacity
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS names a limit that it does not allow
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


def _asked_to_stop(stop: asyncio.Event, number: int) -> None:
    """Ask for a stop; a second signal ends the process at once, as everything is on disk."""
    if stop.is_set():
        os._exit(128 + number)
    stop.set()


async def _wait_until(done: Callable[[], Awaitable[bool]], *, end: float) -> None:
    while not await done() and time.time() < end:
        await asyncio.sleep(LOOK_EVERY)


def _tell_if_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("restore broke off error=%s", place_of(error))
