"""The servers that are measured, as processes of their own on 127.0.0.1, and what they and the database spend."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.world import SECRET
from tests.support import ROOT
from tests.support.processes import listens, until
from tests.support.servers import environment, free_port


@dataclass(frozen=True)
class Server:
    port: int
    process: psutil.Process

    def cpu(self) -> float:
        """Seconds, of it and its children."""
        tree = [self.process, *self.process.children(recursive=True)]
        return float(sum(sum(each.cpu_times()[:2]) for each in tree))


@contextmanager
def running(name: str, command: str, logs: Path) -> Iterator[Server]:
    port = free_port()
    settings = "benchmarks.peers.settings" if "benchmarks.peers" in command else "config.settings"
    more = {"DJANGO_SETTINGS_MODULE": settings, "BENCH_SECRET": SECRET, "LINKDESK_LOG_LEVEL": "WARNING"}
    more |= {"LINKDESK_LIMIT_STRANGERS": "10000000"}  # all come from one address, and a portal may not know batches
    words = [sys.executable, *command.format(port=port).split()]
    log = (logs / f"{name}.log").open("wb")
    with log, subprocess.Popen(words, cwd=ROOT, env=environment() | more, stdout=log, stderr=log) as server:
        try:
            until(lambda: listens(port), within=60, what=f"{name} listens", last=lambda: str(log.name))
            yield Server(port, psutil.Process(server.pid))
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def send(module: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Run a sender as a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=os.environ,
        input=json.dumps(plan).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def connections_so_far() -> int:
    """How many were ever opened at the database server, by anybody; 0 where there is no server."""
    from django.db import connection

    if connection.vendor != "mysql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Connections'")
        return int(cursor.fetchone()[1])
