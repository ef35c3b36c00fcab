"""How soon a change reaches the last of many open pages: python -m benchmarks.sockets, with REDIS_URL set.

It starts a web process on a database of its own, opens the sockets of the pages, changes the account some times, and
says when the first and the last page were told; and the CPU time of the web process for that, while all are idle, and
when all close at once. SOCKETS=10000 opens so many.
"""

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

from tests.support.processes import listens, until
from tests.support.servers import free_port

SOCKETS, PER_LINK = int(os.environ.get("SOCKETS", "1000")), 50
CHANGES, IDLE = 9, 20  # rounds; seconds


def make_account(links: int) -> tuple[int, list[str]]:
    """An account, and so many linking pages of it, as paths of sockets."""
    import django

    django.setup()
    from django.core.management import call_command

    from accounts.models import Account, LinkInvitation, Workspace

    call_command("migrate", verbosity=0)
    account = Account.objects.create(workspace=Workspace.objects.create(name="Large"), label="Alice")
    addresses = [LinkInvitation.issue(account) for _ in range(links)]
    return account.pk, ["/ws/link/" + address.rstrip("/").rpartition("/")[2] + "/" for address in addresses]


@contextmanager
def web_process() -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "config.asgi:application"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            until(lambda: listens(port), within=60, what="the web process listens")
            yield port, psutil.Process(server.pid)
        finally:
            server.terminate()


def spent(process: psutil.Process) -> float:
    """Seconds of CPU time."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def open_all(port: int, paths: list[str]) -> list[ClientConnection]:
    pages, origin = [], Origin(f"http://127.0.0.1:{port}")
    for number in range(SOCKETS):
        address = f"ws://127.0.0.1:{port}{paths[number % len(paths)]}"
        page = await connect(address, origin=origin, ping_interval=None)
        await page.recv()
        pages.append(page)
    return pages


async def told_after(page: ClientConnection, version: int, since: float) -> float:
    while json.loads(await page.recv()).get("version", 0) < version:
        pass
    return time.perf_counter() - since


def change(account_id: int) -> int:
    """Give the account's new version."""
    from django.db import transaction

    from accounts.models import Account

    with transaction.atomic():
        account = Account.objects.lock(account_id)
        account.touch("label")
    return int(account.version)


async def measure(account_id: int, port: int, paths: list[str], process: psutil.Process) -> None:
    pages = await open_all(port, paths)
    firsts, lasts, costs = [], [], []
    for _ in range(CHANGES):
        before, since = spent(process), time.perf_counter()
        version = await asyncio.to_thread(change, account_id)
        after = await asyncio.gather(*(told_after(page, version, since) for page in pages))
        firsts.append(min(after))
        lasts.append(max(after))
        costs.append(spent(process) - before)
        await asyncio.sleep(0.5)
    before = spent(process)
    await asyncio.sleep(IDLE)
    idle = (spent(process) - before) / IDLE
    before, since = spent(process), time.perf_counter()
    await asyncio.gather(*(page.close() for page in pages))
    closing = time.perf_counter() - since
    print(f"{SOCKETS} pages of one account, median of {CHANGES} changes")
    first, last, cost = (statistics.median(values) * 1000 for values in (firsts, lasts, costs))
    print(f"first told after {first:.0f} ms, last after {last:.0f} ms")
    print(f"CPU of a change {cost:.0f} ms; idle {idle:.1%} of a core")
    print(f"all closed within {closing:.1f} s, CPU {spent(process) - before:.1f} s")


def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"LINKDESK_DATA_DIR": str(Path(folder)), "DJANGO_SETTINGS_MODULE": "config.settings"}
        account_id, paths = make_account(-(-SOCKETS // PER_LINK))
        with web_process() as (port, process):
            asyncio.run(measure(account_id, port, paths, process))


if __name__ == "__main__":
    main()
