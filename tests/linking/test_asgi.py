"""The bound on requests that are worked on at once."""

import asyncio
from typing import Any

from config.asgi import Bounded


async def test_no_more_requests_at_once_than_there_are_connections() -> None:
    busy, most = 0, 0

    async def app(*_: Any) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.01)
        busy -= 1

    bounded = Bounded(app, limit=3)
    await asyncio.gather(*(bounded({}, None, None) for _ in range(20)))
    assert (most, busy) == (3, 0)
