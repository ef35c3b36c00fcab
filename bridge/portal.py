"""The bridge's requests to the portal other than webhooks (contract 1.5 and 5.1)."""

import logging
from dataclasses import dataclass
from typing import Any

import aiohttp

from bridge import VERSION
from bridge.outbox.signing import signed_headers
from bridge.outbox.store import compact_json
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
        self._secret = settings.hmac_secret
        self._key = {"X-API-Key": settings.api_key}
        self._headers = {"Content-Type": "application/json", "User-Agent": f"Linkdesk-Bridge/{VERSION}"}

    async def active_sessions(self) -> list[dict[str, Any]]:
        """Raises PortalError. Each item has id, session_id and workspace_id, if the portal is well."""
        url = f"{self._base}/accounts/active"
        return _rows(await self._ask("GET", url, headers=self._key, timeout=ACTIVE_TIMEOUT), "sessions")

    async def heartbeat(
        self, said: dict[str, object], *, boot: str, sequence: int, timeout: float
    ) -> PortalInstructions:
        """`sequence` is higher with each heartbeat of this process: the portal refuses a replay.

        Raises PortalError. `restore` is as in `active_sessions`.
        """
        url, body = f"{self._base}/bridges/heartbeat", compact_json(said)
        signed = signed_headers(self._secret, "POST", url, body=body, boot=boot, sequence=sequence)
        answer = await self._ask("POST", url, body=body, headers=signed, timeout=timeout)
        stop = answer.get("stop")
        if not isinstance(stop, list):
            raise PortalError("no list stop")
        return PortalInstructions([name for name in stop if isinstance(name, str)], _rows(answer, "restore"))

    async def mark_disconnected(self, session_id: str, *, workspace_id: object, reason: str) -> None:
        """This is tried once, as in the contract: the portal also sees by its own poll that the session is absent."""
        url = f"{self._base}/sessions/{session_id}/mark-disconnected"
        body = compact_json({"workspace_id": workspace_id, "reason": reason})
        try:
            await self._ask("POST", url, body=body, headers=self._key, timeout=MARK_TIMEOUT)
        except PortalError as error:
            log.warning("not marked session=%s error=%s", session_id, error)
        else:
            log.info("marked disconnected session=%s", session_id)

    async def _ask(
        self, method: str, url: str, *, body: bytes | None = None, headers: dict[str, str], timeout: float
    ) -> dict[str, Any]:
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers | headers, timeout=limit) as http,
                http.request(method, url, data=body, allow_redirects=False) as response,
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
