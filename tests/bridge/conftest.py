from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.support.bridge_world import Desk, Portal, running


@pytest_asyncio.fixture
async def portal() -> AsyncIterator[Portal]:
    portal = Portal()
    await portal.open()
    yield portal
    await portal.close()


@pytest_asyncio.fixture
async def desk(portal: Portal, tmp_path: Path) -> AsyncIterator[Desk]:
    async with running(portal, tmp_path) as desk:
        yield desk
