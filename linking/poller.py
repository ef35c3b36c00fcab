"""Wakes the sockets of this process when their account changed.

All of them share one poll (2,000 sockets that ask one by one keep the database busy for half of the time). Messages of
other processes only make it sooner (linking/pubsub.py). One snapshot per account and version is read, and sent to all.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from channels.db import database_sync_to_async
from django.conf import settings

from accounts import snapshots
from accounts.models import Account
from accounts.snapshots import Snapshot
from linking.pubsub import Hints

log = logging.getLogger(__name__)

POLL_EVERY = 15 if settings.REDIS_URL else 2  # seconds; with Redis every process publishes its changes
AT_ONCE = 500  # ids in one query


class Watcher(Protocol):
    async def show(self, snapshot: Snapshot) -> None: ...


@dataclass
class Watched:
    """An account that is watched. The lock keeps the snapshots in order for its watchers."""

    version: int = 0  # the newest that was shown
    watchers: set[Watcher] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Poller:
    """Runs while any account is watched, on the event loop of the watchers."""

    def __init__(self, poll_every: float = POLL_EVERY) -> None:
        self._poll_every = poll_every
        self._watched: dict[int, Watched] = {}
        self._hints = Hints(self._heard, after_gap=self._look)
        self._task: asyncio.Task[None] | None = None

    async def watch(self, account_id: int, watcher: Watcher) -> None:
        """Show the account as it is now, and each newer version until `unwatch`. Raises Account.DoesNotExist."""
        watched = self._watched.setdefault(account_id, Watched())
        watched.watchers.add(watcher)
        self._run()
        await self._hints.join(account_id)  # before reading: a change between the two is heard
        async with watched.lock:
            lives_on_as, snapshot = await _read(account_id)
            if len(watched.watchers) == 1:  # others may not have been shown this version yet
                watched.version = snapshot["version"]
            await watcher.show(snapshot)
        if lives_on_as != account_id:
            await self._follow(account_id, lives_on_as, version=snapshot["version"])

    async def unwatch(self, watcher: Watcher) -> None:
        for account_id, watched in list(self._watched.items()):
            watched.watchers.discard(watcher)
            if not watched.watchers:
                del self._watched[account_id]
                await self._hints.leave(account_id)
        if not self._watched and self._task is not None:
            self._task.cancel()
            self._task = None

    def _run(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_for_ever())

    async def _look_for_ever(self) -> None:
        listening = asyncio.create_task(self._hints.listen())
        try:
            while True:
                await asyncio.sleep(self._poll_every)
                await self._look()
        finally:
            listening.cancel()

    async def _look(self) -> None:
        ids = list(self._watched)
        try:
            for start in range(0, len(ids), AT_ONCE):
                for account_id, version in await _versions(ids[start : start + AT_ONCE]):
                    await self._moved(account_id, version)
        except Exception:  # the database may be away for a moment; the next round sees the changes
            log.warning("could not look at the watched accounts", exc_info=True)

    async def _heard(self, account_id: int, version: int) -> None:
        try:
            await self._moved(account_id, version)
        except Exception:
            log.warning("account %s: could not read it; the next round will", account_id, exc_info=True)

    async def _moved(self, account_id: int, version: int) -> None:
        """Show the account, which is at `version` by a message or by a poll, whichever was sooner."""
        watched = self._watched.get(account_id)
        if watched is None:
            return
        async with watched.lock:
            if version <= watched.version:
                return
            lives_on_as, snapshot = await _read(account_id)
            watched.version = max(version, snapshot["version"])
            shown = [watcher.show(snapshot) for watcher in watched.watchers]
            await asyncio.gather(*shown, return_exceptions=True)  # one that is going away must not stop the others
        if lives_on_as != account_id:
            await self._follow(account_id, lives_on_as, version=snapshot["version"])

    async def _follow(self, merged: int, into: int, *, version: int) -> None:
        """Let the watchers of a merged account watch the account that it was merged into."""
        leaving = self._watched.pop(merged, None)
        if leaving is None:
            return
        watched = self._watched.setdefault(into, Watched(version))
        watched.version = min(watched.version, version)  # a watcher may see one version twice, but misses none
        watched.watchers |= leaving.watchers
        await self._hints.leave(merged)
        await self._hints.join(into)


def _read_now(account_id: int) -> tuple[int, Snapshot]:
    live = Account.objects.select_related("merged_into").get(pk=account_id).resolve()
    return live.pk, snapshots.take(live.pk)


async def _read(account_id: int) -> tuple[int, Snapshot]:
    """Return the account that this one was merged into, or itself, and its snapshot."""
    account: tuple[int, Snapshot] = await database_sync_to_async(_read_now)(account_id)
    return account


def _versions_now(ids: Sequence[int]) -> list[tuple[int, int]]:
    return list(Account.objects.filter(pk__in=ids).values_list("pk", "version"))


async def _versions(ids: Sequence[int]) -> list[tuple[int, int]]:
    rows: list[tuple[int, int]] = await database_sync_to_async(_versions_now)(ids)
    return rows


poller = Poller()
