import pytest_asyncio

from tests.support.bridge_world import Portal, running


@pytest_asyncio.fixture
async def portal():
    portal = Portal()
    await portal.open()
    yield portal
    await portal.close()


@pytest_asyncio.fixture
async def desk(portal, tmp_path):
    async with running(portal, tmp_path) as desk:
        yield desk
