"""How soon bare sockets of the same server are all told one text: the floor of `benchmarks.sockets`."""

import asyncio
import json
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from websockets.asyncio.client import connect

from benchmarks.contestants import SERVERS
from benchmarks.servers import running
from benchmarks.sockets import CHANGES

TEXT = json.dumps({"html": "x" * 2_000})  # about as long as a page's own


def last_told(count: int) -> float:
    """Milliseconds until the last of so many has it, the median of some times."""
    with tempfile.TemporaryDirectory() as logs, running("hello", SERVERS["hello on daphne"], Path(logs)) as server:
        return asyncio.run(_tell(server.port, count))


async def _tell(port: int, count: int) -> float:
    async with AsyncExitStack() as stack:
        address = f"ws://127.0.0.1:{port}/"
        pages = [await stack.enter_async_context(connect(address, ping_interval=None)) for _ in range(count)]
        took = []
        for _ in range(CHANGES):
            began = time.perf_counter()
            await pages[0].send(TEXT)
            await asyncio.gather(*(page.recv() for page in pages))
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000
