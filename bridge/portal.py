"""What the bridge asks of the portal besides the webhooks (contract 1.5)."""

import logging
from typing import Any

import aiohttp

from bridge import VERSION
from bridge.settings import Settings

log = logging.getLogger("bridge.portal")

ACTIVE_TIMEOUT = aiohttp.ClientTimeout(total=15)  # contract 1, #2
MARK_TIMEOUT = aiohttp.ClientTimeout(total=5)  # contract 1, #3


class PortalError(Exception):
    """The portal did not answer as the contract says."""


class Portal:
    def __init__(self, settings: Settings) -> None:
        self._base = settings.linkdesk_url + "/api/whatsapp"
        self._headers = {"X-API-Key": settings.api_key, "User-Agent": f"Linkdesk-Bridge/{VERSION}"}

    async def active_sessions(self) -> list[dict[str, Any]]:
        """Raises PortalError. Each item has id, session_id and workspace_id, if the portal is well."""
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=ACTIVE_TIMEOUT) as http,
                http.get(f"{self._base}/accounts/active", allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise PortalError(f"HTTP {response.status}")
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise PortalError(type(error).__name__) from None
        sessions = answer.get("sessions") if isinstance(answer, dict) else None
        if not isinstance(sessions, list):
            raise PortalError("no list of sessions")
        return [item for item in sessions if isinstance(item, dict)]

    async def mark_disconnected(self, session_id: str, *, workspace_id: object, reason: str) -> None:
        """Tried once, as in the contract: the portal also sees by its own poll that the session is absent."""
        body = {"workspace_id": workspace_id, "reason": reason}
        url = f"{self._base}/sessions/{session_id}/mark-disconnected"
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=MARK_TIMEOUT) as http,
                http.post(url, json=body, allow_redirects=False) as response,
            ):
                log.info("marked disconnected session=%s status=%d", session_id, response.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("not marked session=%s error=%s", session_id, type(error).__name__)
