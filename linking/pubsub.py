"""Receives what other processes publish about the accounts that this process watches.

Each process has one channel, not one per socket: when Redis is away no socket closes, and a thousand sockets that
close at once leave nothing behind in it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from channels.layers import get_channel_layer

from accounts.broadcasts import group_of

log = logging.getLogger(__name__)

AGAIN_AFTER = 5  # seconds until the channel layer is tried again; the poller goes on meanwhile


class Hints:
    """Calls `heard(account_id, version)` for the accounts that were joined, while `listen` runs.

    `after_gap` is called once it listens (again): messages published before that were lost.
    """

    def __init__(
        self, heard: Callable[[int, int], Awaitable[None]], *, after_gap: Callable[[], Awaitable[None]]
    ) -> None:
        self._heard = heard
        self._after_gap = after_gap
        self._joined: set[int] = set()
        self._channel = ""

    async def join(self, account_id: int) -> None:
        self._joined.add(account_id)
        await self._tell_layer("group_add", account_id)

    async def leave(self, account_id: int) -> None:
        self._joined.discard(account_id)
        await self._tell_layer("group_discard", account_id)
        if account_id in self._joined:  # somebody joined it meanwhile, and may have been sooner
            await self._tell_layer("group_add", account_id)

    async def listen(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception:  # whatever Redis does, the poller sees the changes, only later
                log.warning("no hints from the channel layer; trying again in %s s", AGAIN_AFTER, exc_info=True)
            finally:
                self._channel = ""
            await asyncio.sleep(AGAIN_AFTER)

    async def _listen(self) -> None:
        layer = get_channel_layer()
        self._channel = await layer.new_channel()
        for account_id in list(self._joined):
            await layer.group_add(group_of(account_id), self._channel)
        await self._after_gap()
        while True:
            message = await layer.receive(self._channel)
            await self._heard(message["account"], message["version"])

    async def _tell_layer(self, verb: str, account_id: int) -> None:
        """Tell the channel layer. Without a channel there is nothing to do: `listen` joins all when it has one."""
        if not self._channel:
            return
        try:
            await getattr(get_channel_layer(), verb)(group_of(account_id), self._channel)
        except Exception:
            log.warning("account %s: %s failed; its watchers poll", account_id, verb)
