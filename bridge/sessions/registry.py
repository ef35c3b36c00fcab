"""The running sessions: one client per session id, however many requests come at once."""

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from bridge.database import Database
from bridge.engines.base import ClientSpec, Engine, EngineError, PairingCode, RestrictedError, SentMessage
from bridge.errors import RefusedError
from bridge.logs import place_of
from bridge.outbox import store
from bridge.outbox.sender import Sender
from bridge.sessions import directories, stored
from bridge.sessions.event_effects import DOWN, FINAL, apply
from bridge.sessions.stored import Session

log = logging.getLogger("bridge.sessions.registry")

RETRY_AFTER = 10  # seconds, after which a supervisor has started the next process


class Registry:
    """The running sessions. `logins` is the folder of their directories."""

    def __init__(
        self, database: Database, engine: Engine, *, sender: Sender, boot: str, capacity: int, logins: Path
    ) -> None:
        self.boot = boot
        self.capacity = capacity
        self.engine = engine
        self._database = database
        self._sender = sender
        self._logins = logins
        self._running: dict[str, Session] = {}
        # A lock lives as long as someone holds or awaits it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # This counts changes of sessions: only their order matters, and wall clocks jump.
        self._clock = 0
        # The sessions that ended, and when; kept while a portal's answer about an earlier moment is awaited or applied.
        self._gone: dict[str, int] = {}
        self._moments = 0
        self.draining = False

    def running(self) -> list[Session]:
        return list(self._running.values())

    def get(self, session_id: str) -> Session:
        session = self._running.get(session_id)
        if session is None:
            raise RefusedError(404, "Session not found")
        return session

    def known(self, session_id: str) -> Session | None:
        return self._running.get(session_id)

    @contextmanager
    def moment(self) -> Iterator[int]:
        """Give the present moment to a block that applies a portal's answer about it (`restore`, `stop_untouched`)."""
        self._moments += 1
        try:
            yield self._tick()
        finally:
            self._moments -= 1
            if not self._moments:
                self._gone.clear()

    def expect(self, session: Session, *, status: str) -> None:
        """List a session that ran before the start, with `status`, until its client comes (`restore`)."""
        session.status, session.waits, session.touched = status, True, self._tick()
        self._running[session.session_id] = session

    async def start(self, wanted: Session) -> Session:
        """Return the running session: as it is, with a new client if it was down or waiting, or `wanted`, started."""
        try:
            self.engine.check_options(wanted.options)
        except EngineError as error:
            raise RefusedError(400, str(error)) from None
        async with self._lock(wanted.session_id):
            running = self._running.get(wanted.session_id)
            if running and running.status not in DOWN and not running.waits:
                running.touched = self._tick()
                return running
            self._refuse_when_draining()
            if running is None and self._is_full_for(wanted.session_id):
                raise RefusedError(503, f"Bridge is full: it runs {self.capacity} sessions")
            return await self._start_or_forget(wanted if running is None else _anew(running))

    async def restore(self, session: Session, *, moment: int) -> bool:
        """Return False when there is nothing to do: it runs, or it ended after the moment of the portal's answer. The
        capacity does not refuse it, because these links exist. Errors of the engine are raised; the stored session
        stays for the next start of the bridge."""
        async with self._lock(session.session_id):
            running = self._running.get(session.session_id)
            if session.waits:
                done = running is not session  # stopped, or replaced by an order to start it
            else:
                done = running is not None or self._gone.get(session.session_id, 0) > moment
            if done or self.draining:
                return False
            try:
                await self._run(session)
            except Exception:
                self._running.pop(session.session_id, None)
                raise
        return True

    async def stop(self, session_id: str, *, logout: bool) -> tuple[bool, str | None]:
        """Return whether it ran, and what went wrong. No event is sent, not even one that the client still emits.
        Raises RefusedError when a log-out failed: the device is still linked, so it must be asked for again."""
        async with self._lock(session_id):
            return await self._stop(session_id, logout=logout)

    async def stop_untouched(self, session_id: str, *, moment: int) -> None:
        """Stop it, unless it was started or sent an event after the moment of the portal's answer."""
        async with self._lock(session_id):
            session = self._running.get(session_id)
            if session and session.touched <= moment:
                await self._stop(session_id, logout=False)

    async def _stop(self, session_id: str, *, logout: bool) -> tuple[bool, str | None]:
        self._went(session_id)
        ran = self._running.pop(session_id, None) is not None
        # The row is deleted first: a kill after this line leaves at worst a login, which a second DELETE removes;
        # the other way round a deleted session would show codes again.
        await self._database.run(partial(_forget, session_id=session_id))
        try:
            await (self.engine.logout(session_id) if logout else self.engine.stop(session_id))
        except Exception as error:
            log.error("stop failed session=%s error=%s", session_id, place_of(error))
            if logout:
                message = "The device could not be unlinked: ask again"
                raise RefusedError(503, message, retry_after=RETRY_AFTER) from None
            return ran, "The client could not be ended cleanly"
        log.info("stopped session=%s ran=%s logout=%s", session_id, ran, logout)
        return ran, None

    async def pairing_code(self, session_id: str, *, phone_number: str) -> PairingCode:
        self._refuse_when_draining()
        session = self.get(session_id)
        if session.status != "qr_scanning":
            raise RefusedError(400, "Session is not waiting to be linked")
        try:
            code = await self.engine.pairing_code(session_id, phone_number=phone_number)
        except EngineError as error:
            raise RefusedError(500, str(error)) from None
        data: dict[str, object] = {"pairing_code": code.code, "expires_in": code.expires_in}
        await self._record("pairing_code_generated", data, session=session)
        return code

    async def send_text(self, session_id: str, *, recipient: str, text: str) -> SentMessage:
        self._refuse_when_draining()
        session = self.get(session_id)
        if session.status != "connected":
            raise RefusedError(400, "Session not connected. Please check session status.")
        try:
            return await self.engine.send_text(session_id, recipient=recipient, text=text)
        except RestrictedError as error:
            told: dict[str, object] = {"kind": "send_refused", "active": True, "code": 463, "message": str(error)}
            await self._record("session_restricted", told, session=session)
            raise RefusedError(500, f"463: {error}") from None
        except EngineError as error:
            raise RefusedError(500, str(error)) from None

    async def outbox_counts(self) -> dict[str, int]:
        return await self._database.run(store.counts)

    async def outbox_due(self, *, before: float) -> int:
        return await self._database.run(partial(store.due, before=before))

    def _refuse_when_draining(self) -> None:
        if self.draining:
            raise RefusedError(503, "Bridge is shutting down: ask again when it is back", retry_after=RETRY_AFTER)

    def _is_full_for(self, session_id: str) -> bool:
        """A bridge is never full for a login that is here, because it can run nowhere else."""
        return len(self._running) >= self.capacity and not directories.has_login(self._logins / session_id)

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _went(self, session_id: str) -> None:
        if self._moments:
            self._gone[session_id] = self._tick()

    def _lock(self, session_id: str) -> asyncio.Lock:
        return self._locks.setdefault(session_id, asyncio.Lock())

    async def _start_or_forget(self, session: Session) -> Session:
        try:
            await self._run(session)
        except Exception as error:
            log.error("start failed session=%s error=%s", session.session_id, place_of(error))
            self._running.pop(session.session_id, None)
            await self._database.run(partial(_forget, session_id=session.session_id))
            message = str(error) if isinstance(error, EngineError) else "The client could not be started"
            raise RefusedError(500, message) from None
        return session

    async def _run(self, session: Session) -> None:
        # The place is taken before the first await: starts of other ids count it against the capacity.
        self._running[session.session_id] = session
        session.status, session.waits, session.touched = "qr_scanning", False, self._tick()
        # This stops an old client that is down, or that has just expired and is not gone yet.
        await self.engine.stop(session.session_id)
        await self._database.run(partial(stored.save, session=session))
        spec = ClientSpec(session.session_id, session.account_id, session.options)
        await self.engine.start(spec, emit=partial(self._record, session=session))
        log.info("started session=%s", session.session_id)

    async def _record(self, event: str, data: dict[str, object], *, session: Session) -> None:
        """Store state and event in one transaction, then send. Events of a stopped or replaced client are dropped."""
        if self._running.get(session.session_id) is not session:
            return
        session.touched = self._tick()
        apply(session, event, data=data)
        if event in FINAL:
            self._went(session.session_id)
            del self._running[session.session_id]
        named = {"workspace_id": session.workspace_id, "session_id": session.session_id, **data}
        await self._database.run(partial(self._write, session=session, event=event, data=named))
        self._sender.nudge(session.session_id)

    def _write(self, connection: sqlite3.Connection, *, session: Session, event: str, data: dict[str, object]) -> None:
        store.put(connection, event, data=data, boot=self.boot)
        if event in FINAL:
            stored.remove(connection, session.session_id)
        else:
            stored.save(connection, session)


def _anew(session: Session) -> Session:
    """Copy the session for a new client, so that late events of the old client no longer reach it."""
    return Session(
        session_id=session.session_id,
        workspace_id=session.workspace_id,
        account_id=session.account_id,
        options=session.options,
        phone_number=session.phone_number,
        logged_in=session.logged_in,
        created_at=session.created_at,
    )


def _forget(connection: sqlite3.Connection, session_id: str) -> None:
    stored.remove(connection, session_id)
    store.drop_codes(connection, session_id)
