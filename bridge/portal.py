"""The bridge's requests to the portal other than webhooks (contract 1.5 and 5.1)."""

import logging
from dataclasses import dataclass
from typing import Any

import aiohttp

from bridge import VERSION
from bridge.settings import Settings

log = logging.getLogger("bridge.portal")

ACTIVE_TIMEOUT = 15.0  # contract 1, #2
MARK_TIMEOUT = 5.0  # contract 1, #3


class PortalError(Exception):
    """The portal did not answer as the contract says."""


@dataclass(frozen=True)
class PortalInstructions:
    stop: list[str]
    restore: list[dict[str, Any]]


class Portal:
    def __init__(self, settings: Settings) -> None:
        self._base = settings.linkdesk_url + "/api/whatsapp"
        self._headers = {"X-API-Key": settings.api_key, "User-Agent": f"Linkdesk-Bridge/{VERSION}"}

    async def active_sessions(self) -> list[dict[str, Any]]:
        """Raises PortalError. Each item has id, session_id and workspace_id, if the portal is well."""
        return _rows(await self._ask("GET", "accounts/active", timeout=ACTIVE_TIMEOUT), "sessions")

    async def heartbeat(self, said: dict[str, object], *, timeout: float) -> PortalInstructions:
        """Raises PortalError. `restore` is as in `active_sessions`."""
        answer = await self._ask("POST", "bridges/heartbeat", body=said, timeout=timeout)
        stop = answer.get("stop")
        if not isinstance(stop, list):
            raise PortalError("no list stop")
        return PortalInstructions([name for name in stop if isinstance(name, str)], _rows(answer, "restore"))

    async def mark_disconnected(self, session_id: str, *, workspace_id: object, reason: str) -> None:
        """This is tried once, as in the contract: the portal also sees by its own poll that the session is absent."""
        body = {"workspace_id": workspace_id, "reason": reason}
        try:
            await self._ask("POST", f"sessions/{session_id}/mark-disconnected", body=body, timeout=MARK_TIMEOUT)
        except PortalError as error:
            log.warning("not marked session=%s error=%s", session_id, error)
        else:
            log.info("marked disconnected session=%s", session_id)

    async def _ask(
        self, method: str, path: str, *, body: dict[str, object] | None = None, timeout: float
    ) -> dict[str, Any]:
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=limit) as http,
                http.request(method, f"{self._base}/{path}", json=body, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise PortalError(f"HTTP {response.status}")
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError, RecursionError) as error:
            raise PortalError(type(error).__name__) from None
        if not isinstance(answer, dict):
            raise PortalError("no JSON object")
        return answer


def _rows(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = answer.get(name)
    if not isinstance(rows, list):
        raise PortalError(f"no list {name}")
    return [row for row in rows if isinstance(row, dict)]
