"""The page's WebSocket: a snapshot on connect and at each newer version.

A plain ASGI application, not a channels consumer: a consumer dies with the channel layer, and this one needs none of
its own (linking/pubsub.py).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.db import database_sync_to_async

from accounts.models import Account, LinkInvitation
from accounts.snapshots import Snapshot
from linking.page_state import state_of
from linking.poller import poller

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

HEARTBEAT = 20  # seconds; the page takes 50 s of silence for a dead socket
UNKNOWN, OVER = 4404, 4403  # close codes: no such link; revoked or expired


class PageSocket:
    """The socket of one open page."""

    def __init__(self, token: str, send: Send) -> None:
        self._token = token
        self._send = send
        self._is_closed = False

    async def serve(self, receive: Receive) -> None:
        await self._send({"type": "websocket.accept"})  # first: a browser sees no close code of a refused handshake
        account_id = await self._enter()
        if account_id is None:
            return
        beating = asyncio.create_task(self._beat())
        try:
            await poller.watch(account_id, self)
            while (await receive())["type"] != "websocket.disconnect":
                pass  # a page has nothing to say here
        except Account.DoesNotExist:
            await self._close(UNKNOWN)
        finally:
            self._is_closed = True
            beating.cancel()
            await poller.unwatch(self)

    async def show(self, snapshot: Snapshot) -> None:
        """Called by the poller. A reset revokes the invitation and changes the account, so access is checked first."""
        if await self._enter() is not None:
            await self._tell(state_of(snapshot))

    async def _beat(self) -> None:
        while not self._is_closed:
            await asyncio.sleep(HEARTBEAT)
            try:
                if await self._enter() is not None:
                    await self._tell({"heartbeat": HEARTBEAT})
            except Exception:  # the database is away for a moment: the next beat asks again
                log.warning("could not check a watcher's invitation", exc_info=True)

    async def _enter(self) -> int | None:
        """Return the account that may be watched, or close the socket."""
        invitation: LinkInvitation | None = await database_sync_to_async(LinkInvitation.objects.find)(self._token)
        if invitation is not None and invitation.is_usable:
            return invitation.account_id
        await self._close(UNKNOWN if invitation is None else OVER)
        return None

    async def _tell(self, message: Any) -> None:
        if not self._is_closed:
            await self._send({"type": "websocket.send", "text": json.dumps(message)})

    async def _close(self, code: int) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self._send({"type": "websocket.close", "code": code})


async def page(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await PageSocket(scope["url_route"]["kwargs"]["token"], send).serve(receive)


async def nothing(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Close a socket at any other address: the router would raise, with the address in its message."""
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": UNKNOWN})
