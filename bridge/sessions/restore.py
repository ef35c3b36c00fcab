"""Restores the sessions that should run: after a start those on the bridge's own disk, then those that the portal
misses; later those in the answers to heartbeats.

A session is restored only if its login is here. Without it a client would show codes, and the portal would take the
link for logged out: an empty or wrong data directory would end every link.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.database import Database
from bridge.engines.base import EngineError
from bridge.logs import place_of
from bridge.outbox.sender import JITTER, backoff
from bridge.portal import Portal, PortalError
from bridge.sessions import directories
from bridge.sessions import stored as stored_sessions
from bridge.sessions.identifiers import account_id_of, session_id_of, workspace_id_of
from bridge.sessions.registry import Registry
from bridge.sessions.stored import Session

log = logging.getLogger("bridge.sessions.restore")

AT_ONCE = 2
# Seconds at most before each login: a hundred devices that log in from one address in one second look like an attack.
SPREAD = 0.2
NO_LOGIN = "No login here"


@dataclass(frozen=True)
class RestoreFailure:
    session_id: str
    workspace_id: object
    reason: str


class Restorer:
    """Restores sessions. `logins` is the folder of their directories."""

    def __init__(self, registry: Registry, portal: Portal, *, logins: Path) -> None:
        self._registry = registry
        self._portal = portal
        self._logins = logins
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[str] = set()
        self._stored: list[Session] = []
        self._portal_is_there = asyncio.Event()

    async def expect_stored(self, database: Database) -> None:
        """Runs before the HTTP port opens, so that the first list that the portal reads is complete."""
        self._stored = await database.run(stored_sessions.load_all)
        # Pairings come first: a person waits at a page for a code that the phone still accepts.
        self._stored.sort(key=lambda session: session.logged_in)
        self._under_way = {session.session_id for session in self._stored}
        for session in self._stored:
            if self._has_login(session):
                self._registry.expect(session, status="authenticated")
            elif not session.logged_in:
                self._registry.expect(session, status="qr_scanning")

    async def run(self, *, base: float) -> None:
        """Runs beside the requests: an order to start a session that still waits goes first."""
        with self._registry.moment() as moment:
            stored = (self._restore_stored(session, moment=moment) for session in self._stored)
            await asyncio.gather(*stored, self._restore_listed(moment=moment, base=base))

    async def _restore_stored(self, session: Session, *, moment: int) -> None:
        try:
            failures = await self._in_turn(session, moment=moment)
            if failures:
                await self._portal_is_there.wait()
            await self._mark(failures)
        finally:
            self._under_way.discard(session.session_id)

    async def _restore_listed(self, *, moment: int, base: float) -> None:
        here = sum(directories.has_login(path) for path in self._logins.glob("[!.]*"))
        items = await self._list_when_there(base=base)
        self._portal_is_there.set()
        log.info("logins here=%d stored=%d listed=%d", here, len(self._stored), len(items))
        if items and not here:
            log.warning("no login in directory=%s but listed=%d: is it the right one?", self._logins, len(items))
        await self.restore(items, moment=moment)

    async def restore(self, items: Sequence[dict[str, Any]], *, moment: int) -> None:
        await asyncio.gather(*(self._restore_item(item, moment=moment) for item in items))

    async def _list_when_there(self, *, base: float) -> list[dict[str, Any]]:
        """Waits for the portal, however long, if the bridge was started first: the reference bridge gives up after
        3 s and runs empty until its next restart (contract 1.5)."""
        attempts = 0
        while True:
            try:
                return await self._portal.active_sessions()
            except PortalError as error:
                log.warning("portal list not read try=%d error=%s", attempts + 1, error)
            await asyncio.sleep(backoff(attempts, base=base))
            attempts += 1

    async def _restore_item(self, item: dict[str, Any], *, moment: int) -> None:
        try:
            session_id = session_id_of(item.get("session_id"))
        except ValueError as error:
            # Without a session id the portal cannot be told which one failed.
            log.error("listed session not usable error=%s", error)
            return
        # The portal repeats itself every 30 s, and a long list takes longer than that.
        if self._registry.known(session_id) or session_id in self._under_way:
            return
        self._under_way.add(session_id)
        try:
            await self._mark(await self._restore_named(session_id, item=item, moment=moment))
        finally:
            self._under_way.discard(session_id)

    async def _restore_named(self, session_id: str, *, item: dict[str, Any], moment: int) -> list[RestoreFailure]:
        workspace_id = item.get("workspace_id")
        try:
            session = Session(session_id, workspace_id_of(workspace_id), account_id_of(item.get("id")), logged_in=True)
        except ValueError as error:
            return [RestoreFailure(session_id, workspace_id, str(error))]
        return await self._in_turn(session, moment=moment)

    async def _in_turn(self, session: Session, *, moment: int) -> list[RestoreFailure]:
        async with self._slots:
            if session.logged_in:
                await asyncio.sleep(JITTER.uniform(0, SPREAD))
            return await self._restore(session, moment=moment)

    async def _restore(self, session: Session, *, moment: int) -> list[RestoreFailure]:
        try:
            known = self._registry.known(session.session_id)
            if session.logged_in and not known and not self._has_login(session):
                return [RestoreFailure(session.session_id, session.workspace_id, NO_LOGIN)]
            if await self._registry.restore(session, moment=moment):
                log.info("restored session=%s", session.session_id)
        except EngineError as error:
            log.error("restore failed session=%s error=%s", session.session_id, error)
            return [RestoreFailure(session.session_id, session.workspace_id, str(error))]
        except Exception as error:
            log.error("restore failed session=%s error=%s", session.session_id, place_of(error))
            return [RestoreFailure(session.session_id, session.workspace_id, "The client could not be started")]
        return []

    def _has_login(self, session: Session) -> bool:
        return directories.has_login(self._logins / session.session_id)

    async def _mark(self, failures: Sequence[RestoreFailure]) -> None:
        for failure in failures:
            await self._portal.mark_disconnected(
                failure.session_id, workspace_id=failure.workspace_id, reason=failure.reason
            )
