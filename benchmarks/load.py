"""Sends prepared requests over kept connections, each the next as soon as the last is answered.

It is a process of its own, so that its CPU time is not the server's: `python -m benchmarks.load` reads a plan as JSON
and writes what came of it.
"""

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.bodies import KINDS

PREPARED_A_SECOND = 8_000  # more than any of the servers takes; what comes after is made while it is sent


class Connection(asyncio.Protocol):
    """One kept connection. Its requests are its own: what must come in turn is in one of them."""

    def __init__(self, port: int, requests: Iterator[bytes], until: float) -> None:
        self.port, self.requests, self.until = port, requests, until
        self.statuses: Counter[int] = Counter()
        self.took: list[float] = []
        self.done = asyncio.get_running_loop().create_future()
        self.unread = b""

    async def connect(self) -> None:
        self.unread = b""
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self.port)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        raw = next(self.requests, None) if time.perf_counter() < self.until else None
        if raw is None:
            self.done.set_result(None)
            self.transport.close()
            return
        self.sent_at = time.perf_counter()
        self.transport.write(raw)

    def data_received(self, data: bytes) -> None:
        self.unread += data
        head, found, body = self.unread.partition(b"\r\n\r\n")
        if not found or len(body) < length_of(head):
            return
        self.unread = b""
        self.statuses[int(head[9:12])] += 1
        self.took.append(time.perf_counter() - self.sent_at)
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():  # the server closed it: a new one goes on
            self.reconnecting = asyncio.create_task(self.connect())


def length_of(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without Content-Length")


def prepared(plan: dict[str, Any]) -> list[Iterator[bytes]]:
    """The requests of each connection."""
    make, lanes = KINDS[plan["kind"]], plan["connections"]
    each = int(plan["seconds"] * plan.get("prepare", PREPARED_A_SECOND) / lanes) + 1
    made = [make(plan["secret"], plan["path"], plan["sessions"][lane::lanes]) for lane in range(lanes)]
    return [itertools.chain(list(itertools.islice(requests, each)), requests) for requests in made]


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    lanes = prepared(plan)
    began = time.perf_counter()
    connections = [Connection(plan["port"], requests, began + plan["seconds"]) for requests in lanes]
    for each in connections:
        await each.connect()
    await asyncio.wait_for(asyncio.gather(*(each.done for each in connections)), plan["seconds"] + 30)
    seconds = time.perf_counter() - began
    took = sorted(took for each in connections for took in each.took)
    statuses: Counter[int] = sum((each.statuses for each in connections), Counter())
    p50, p99 = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99)) if took else (0, 0)
    return {"seconds": seconds, "statuses": statuses, "p50_ms": p50, "p99_ms": p99}


if __name__ == "__main__":
    json.dump(asyncio.run(run(json.load(sys.stdin))), sys.stdout)
