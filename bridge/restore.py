"""After a start: bring back what ran, first from the own disk, then what the portal misses."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from bridge import stored_sessions
from bridge.database import Database
from bridge.delivery import backoff
from bridge.engines.base import EngineError
from bridge.logs import place_of
from bridge.portal import Portal, PortalError
from bridge.sessions import Registry
from bridge.stored_sessions import Session
from bridge.wanted import account_id_of, session_id_of, workspace_id_of

log = logging.getLogger("bridge.restore")


@dataclass(frozen=True)
class Failure:
    session_id: str
    workspace_id: object
    reason: str


async def restore_stored(registry: Registry, database: Database) -> list[Failure]:
    """Before the HTTP port opens: the first list that the portal reads is complete."""
    failures = []
    for session in await database.run(stored_sessions.load_all):
        session.status = "qr_scanning"  # until its client says otherwise
        failures += await _restore(registry, session)
    return failures


async def restore_listed(registry: Registry, portal: Portal, *, failures: list[Failure], base: float) -> None:
    for item in await _list_when_there(portal, base=base):
        failures += await _restore_item(registry, item)
    registry.end_restore()
    for failure in failures:
        await portal.mark_disconnected(failure.session_id, workspace_id=failure.workspace_id, reason=failure.reason)


async def _list_when_there(portal: Portal, *, base: float) -> list[dict[str, Any]]:
    """Whoever was started first waits for the other, however long: the reference bridge gives up after
    3 s and runs empty until its next restart (contract 1.5)."""
    attempts = 0
    while True:
        try:
            return await portal.active_sessions()
        except PortalError as error:
            log.warning("portal list not read try=%d error=%s", attempts + 1, error)
        await asyncio.sleep(backoff(attempts, base=base))
        attempts += 1


async def _restore_item(registry: Registry, item: dict[str, Any]) -> list[Failure]:
    try:
        session_id = session_id_of(item.get("session_id"))
    except ValueError as error:
        # Without a name nobody could be told which one it is.
        log.error("listed session not usable error=%s", error)
        return []
    workspace_id = item.get("workspace_id")
    try:
        session = Session(session_id, workspace_id_of(workspace_id), account_id_of(item.get("id")))
    except ValueError as error:
        return [Failure(session_id, workspace_id, str(error))]
    return await _restore(registry, session)


async def _restore(registry: Registry, session: Session) -> list[Failure]:
    try:
        if await registry.restore(session):
            log.info("restored session=%s", session.session_id)
    except EngineError as error:
        return [Failure(session.session_id, session.workspace_id, str(error))]
    except Exception as error:
        log.error("restore failed session=%s error=%s", session.session_id, place_of(error))
        return [Failure(session.session_id, session.workspace_id, "The client could not be started")]
    return []
