"""Sends as the Node bridge does: ten sockets for all its sessions, no kept connection, in the order of its events.

It gives up an answer after 10 s and repeats what timed out or was refused with 429, three times; all else that is not
2xx it loses. `python -m benchmarks.node` reads a plan as JSON: {"port", "secret", "seconds", "flood" (messages a
second), "flooded" (session), "ready" (sessions, one `session_ready` for each second)}.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.bodies import WEBHOOK, lifecycle, message, request

SOCKETS, PATIENCE = 10, 10
AFTER_429, AFTER_TIMEOUT = (1, 2, 4), (2, 4, 8)  # seconds before the next try
TIMED_OUT, RESET = 0, -1


@dataclass
class Sender:
    port: int
    secret: str
    sockets: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SOCKETS))
    answers: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    took: dict[str, list[float]] = field(default_factory=lambda: {"message_received": [], "session_ready": []})

    async def emit(self, body: dict[str, Any]) -> None:
        began = time.perf_counter()
        for again in range(4):
            status = await self.attempt(body)
            self.answers[status] += 1
            waits = {429: AFTER_429, TIMED_OUT: AFTER_TIMEOUT}.get(status)
            if waits is None or again == 3:
                break
            await asyncio.sleep(waits[again])
        if 200 <= status < 300:
            self.took[body["event"]].append(time.perf_counter() - began)
        else:
            self.lost[body["event"]] += 1

    async def attempt(self, body: dict[str, Any]) -> int:
        async with self.sockets:
            try:
                return await asyncio.wait_for(self.ask(body), PATIENCE)
            except TimeoutError:
                return TIMED_OUT
            except (OSError, ValueError):
                return RESET

    async def ask(self, body: dict[str, Any]) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request(self.secret, WEBHOOK, body, close=True))
            return int((await reader.read())[9:12])
        finally:
            writer.close()


async def steadily(sender: Sender, bodies: list[dict[str, Any]], seconds: float) -> None:
    """Emit them at equal distances, whatever becomes of the earlier ones; end when all are answered or lost."""
    began, running = time.perf_counter(), []
    for number, body in enumerate(bodies):
        await asyncio.sleep(max(0, began + number * seconds / len(bodies) - time.perf_counter()))
        running.append(asyncio.create_task(sender.emit(body)))
    await asyncio.gather(*running)


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    sender = Sender(plan["port"], plan["secret"])
    flood = [message(plan["flooded"]) for _ in range(int(plan["flood"] * plan["seconds"]))]
    ready = [lifecycle(session_id, "session_ready") for session_id in plan["ready"]]
    await asyncio.gather(*(steadily(sender, bodies, plan["seconds"]) for bodies in (flood, ready)))
    took = {event: sorted(values) for event, values in sender.took.items()}
    return {
        "sent": {"message_received": len(flood), "session_ready": len(ready)},
        "answers": sender.answers,
        "lost": sender.lost,
        "p99_ms": {event: values[int(len(values) * 0.99)] * 1000 for event, values in took.items() if values},
        "longest_ms": {event: values[-1] * 1000 for event, values in took.items() if values},
    }


if __name__ == "__main__":
    json.dump(asyncio.run(run(json.load(sys.stdin))), sys.stdout)
