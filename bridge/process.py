"""The parts of a running bridge, and the order in which they come up and go down."""

import asyncio
import logging
import os
import signal
import uuid
from collections.abc import Callable

from aiohttp import web

from bridge.database import Database, claim_data_dir
from bridge.delivery import Sender
from bridge.engines import load_engine
from bridge.engines.base import Engine
from bridge.errors import ConfigurationError
from bridge.logs import place_of
from bridge.portal import Portal
from bridge.restore import restore_listed, restore_stored
from bridge.server import make_app
from bridge.sessions import Registry
from bridge.settings import Settings

log = logging.getLogger("bridge.process")

STOP_TIMEOUT = 2.0  # for requests that are being answered


class Bridge:
    """`start` raises ConfigurationError. Must be made inside a running event loop."""

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
        self.registry = Registry(
            self._database,
            engine,
            sender=self._sender,
            boot=uuid.uuid4().hex,
            capacity=settings.capacity,
        )
        app = make_app(self.registry, api_key=settings.api_key)
        # No access log: the api_key of a GET is in its query.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_TIMEOUT)
        self._restoring: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """The port it listens on."""
        await self._sender.start()
        failures = await restore_stored(self.registry, self._database)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port)
        try:
            await site.start()
        except OSError as error:
            where = f"{self.settings.host}:{self.settings.port}"
            await self.stop()
            raise ConfigurationError(f"cannot listen on {where}: {error.strerror}") from error
        portal = Portal(self.settings)
        work = restore_listed(self.registry, portal, failures=failures, base=self.settings.retry_base)
        self._restoring = asyncio.create_task(work)
        self._restoring.add_done_callback(_tell_if_broken)
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """No event is sent for it: the sessions come back with the next start."""
        if self._restoring:
            self._restoring.cancel()
            await asyncio.gather(self._restoring, return_exceptions=True)
        await self._runner.cleanup()
        await self._engine.close()
        await self._sender.stop()
        self._database.close()
        self._lock.close()


def engine_of(settings: Settings) -> Engine:
    return load_engine(settings.engine, settings.data_dir, environ=settings.environ)


async def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    os.umask(0o077)  # codes and logins are in the data directory
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bridge = Bridge(settings)
    port = await bridge.start()
    log.info("listening host=%s port=%d boot=%s", settings.host, port, bridge.registry.boot)
    await stop.wait()
    log.info("stopping")
    await bridge.stop()
    log.info("stopped")


def _tell_if_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("restore broke off error=%s", place_of(error))
