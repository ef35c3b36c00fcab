"""Wakes the sockets of this process when their account changed.

All of them share one poll (2,000 sockets that ask one by one keep the database busy for half of the time). Messages of
other processes only make it sooner (linking/pubsub.py). One snapshot per account and version is read and written as
text, and sent to all whose link is still good.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from channels.db import database_sync_to_async
from django.conf import settings

from accounts import snapshots
from accounts.models import Account
from linking.heartbeat import Heartbeat
from linking.page_state import state_of
from linking.pubsub import Hints
from linking.watchers import AT_ONCE, Watcher, links_of, tell_all, usable_now

log = logging.getLogger(__name__)

POLL_EVERY = 15 if settings.REDIS_URL else 2  # seconds; with Redis every process publishes its changes
MOST_PER_LINK = 50  # sockets in this process; a link is sent to one person, who may leave tabs open


class TooManySockets(Exception):
    """This link is open too often in this process."""


@dataclass(frozen=True)
class Shown:
    """A snapshot, ready to send. `account_id` is the account that the one asked for lives on as. `good` are those of
    the links asked for that were good after the snapshot was read."""

    account_id: int
    version: int
    text: str
    good: frozenset[int]


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
        self._watches: dict[Watcher, int] = {}  # the account of each
        self._open: Counter[int] = Counter()  # sockets of each link
        self._heartbeat = Heartbeat()
        self._hints = Hints(self._heard, after_gap=self._look)
        self._task: asyncio.Task[None] | None = None

    async def watch(self, account_id: int, watcher: Watcher) -> None:
        """Show the account as it is now, and each newer version until `unwatch`.

        Raises Account.DoesNotExist, TooManySockets.
        """
        watched = self._enter(account_id, watcher)
        self._run()
        await self._hints.join(account_id)  # before reading: a change between the two is heard
        async with watched.lock:
            shown = await _read(account_id, [watcher.invitation_id])
            if len(watched.watchers) == 1:  # others may not have been shown this version yet
                watched.version = shown.version
            await tell_all([watcher], shown.text, good=shown.good)
        if shown.account_id != account_id:
            await self._follow(account_id, shown.account_id, version=shown.version)

    def _enter(self, account_id: int, watcher: Watcher) -> Watched:
        if self._open[watcher.invitation_id] >= MOST_PER_LINK:
            raise TooManySockets
        self._open[watcher.invitation_id] += 1
        self._watches[watcher] = account_id
        self._heartbeat.add(watcher)
        watched = self._watched.setdefault(account_id, Watched())
        watched.watchers.add(watcher)
        return watched

    async def unwatch(self, watcher: Watcher) -> None:
        """Takes the same time however many others watch: a thousand may close at once."""
        account_id = self._watches.pop(watcher, None)
        if account_id is None:
            return
        self._heartbeat.remove(watcher)
        self._open -= Counter([watcher.invitation_id])
        watched = self._watched[account_id]
        watched.watchers.discard(watcher)
        if watched.watchers:
            return
        del self._watched[account_id]
        if not self._watched and self._task is not None:
            self._task.cancel()
            self._task = None
        await self._hints.leave(account_id)

    def _run(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_for_ever())

    async def _look_for_ever(self) -> None:
        beside = [asyncio.create_task(self._hints.listen()), asyncio.create_task(self._heartbeat.run())]
        try:
            while True:
                await asyncio.sleep(self._poll_every)
                await self._look()
        finally:
            for task in beside:
                task.cancel()

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
            watchers = list(watched.watchers)  # whoever comes now waits for the lock, and is shown the account then
            shown = await _read(account_id, links_of(watchers))
            watched.version = max(version, shown.version)
            await tell_all(watchers, shown.text, good=shown.good)
        if shown.account_id != account_id:
            await self._follow(account_id, shown.account_id, version=shown.version)

    async def _follow(self, merged: int, into: int, *, version: int) -> None:
        """Let the watchers of a merged account watch the account that it was merged into."""
        leaving = self._watched.pop(merged, None)
        if leaving is None:
            return
        watched = self._watched.setdefault(into, Watched(version))
        watched.version = min(watched.version, version)  # a watcher may see one version twice, but misses none
        watched.watchers |= leaving.watchers
        self._watches |= dict.fromkeys(leaving.watchers, into)
        await self._hints.leave(merged)
        await self._hints.join(into)


def _read_now(account_id: int, invitation_ids: Iterable[int]) -> Shown:
    """The links are read after the snapshot: a reset revokes them and changes the account in one transaction."""
    live = Account.objects.select_related("merged_into").get(pk=account_id).resolve()
    snapshot = snapshots.take(live.pk)
    return Shown(live.pk, snapshot["version"], json.dumps(state_of(snapshot)), usable_now(invitation_ids))


async def _read(account_id: int, invitation_ids: Iterable[int]) -> Shown:
    shown: Shown = await database_sync_to_async(_read_now)(account_id, invitation_ids)
    return shown


def _versions_now(ids: Sequence[int]) -> list[tuple[int, int]]:
    return list(Account.objects.filter(pk__in=ids).values_list("pk", "version"))


async def _versions(ids: Sequence[int]) -> list[tuple[int, int]]:
    rows: list[tuple[int, int]] = await database_sync_to_async(_versions_now)(ids)
    return rows


poller = Poller()
