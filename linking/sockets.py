"""The page's WebSocket: a snapshot on connect and at each newer version.

A plain ASGI application, not a channels consumer: a consumer dies with the channel layer, and this one needs none of
its own (linking/pubsub.py).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from channels.db import database_sync_to_async

from accounts.models import Account, LinkInvitation
from linking.poller import TooManySockets, poller
from linking.watchers import OVER, TOO_MANY, UNKNOWN

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class PageSocket:
    """The socket of one open page."""

    def __init__(self, invitation_id: int, send: Send) -> None:
        self.invitation_id = invitation_id
        self._send = send
        self._is_closed = False

    async def serve(self, account_id: int, receive: Receive) -> None:
        try:
            await poller.watch(account_id, self)
            while (await receive())["type"] != "websocket.disconnect":
                pass  # a page has nothing to say here
        except Account.DoesNotExist:
            await self.close(UNKNOWN)
        except TooManySockets:
            await self.close(TOO_MANY)
        finally:
            self._is_closed = True
            await poller.unwatch(self)

    async def tell(self, text: str) -> None:
        if not self._is_closed:
            await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int) -> None:
        if not self._is_closed:
            self._is_closed = True
            await _close(self._send, code)


async def page(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})  # first: a browser sees no close code of a refused handshake
    find = database_sync_to_async(LinkInvitation.objects.find)
    invitation: LinkInvitation | None = await find(scope["url_route"]["kwargs"]["token"])
    if invitation is not None and invitation.is_usable:
        await PageSocket(invitation.pk, send).serve(invitation.account_id, receive)
    else:
        await _close(send, UNKNOWN if invitation is None else OVER)


async def nothing(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Close a socket at any other address: the router would raise, with the address in its message."""
    await send({"type": "websocket.accept"})
    await _close(send, UNKNOWN)


async def _close(send: Send, code: int) -> None:
    await send({"type": "websocket.close", "code": code})
