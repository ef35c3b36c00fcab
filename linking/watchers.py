"""The pages that watch an account through a link are told of changes for as long as that link is good."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Protocol

from channels.db import database_sync_to_async

from accounts.models import LinkInvitation

AT_ONCE = 500  # ids in one query
# Close codes: no such link; revoked or expired; open too often, so the page asks every 3 s and tries again.
UNKNOWN, OVER, TOO_MANY = 4404, 4403, 4429


class Watcher(Protocol):
    invitation_id: int

    async def tell(self, text: str) -> None: ...

    async def close(self, code: int) -> None: ...


def links_of(watchers: Iterable[Watcher]) -> set[int]:
    return {watcher.invitation_id for watcher in watchers}


async def tell_all(watchers: Collection[Watcher], text: str, *, good: Collection[int]) -> None:
    """Send the text to those whose link is among the `good` ones, and close the others. One that is going away must
    not stop the rest."""
    told = [each.tell(text) if each.invitation_id in good else each.close(OVER) for each in watchers]
    await asyncio.gather(*told, return_exceptions=True)


def usable_now(invitation_ids: Iterable[int]) -> frozenset[int]:
    """Which of these links are good now."""
    ids, good = list(invitation_ids), set[int]()
    for start in range(0, len(ids), AT_ONCE):
        asked = LinkInvitation.objects.usable().filter(pk__in=ids[start : start + AT_ONCE])
        good.update(asked.values_list("pk", flat=True))
    return frozenset(good)


async def usable(invitation_ids: Iterable[int]) -> frozenset[int]:
    found: frozenset[int] = await database_sync_to_async(usable_now)(invitation_ids)
    return found
