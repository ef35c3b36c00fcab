"""Real processes on ports and folders of their own: database, cache, web, workers, bridges. Each can be killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.support import ROOT
from tests.support.servers import free_port

STARTS_WITHIN = 40  # seconds


@dataclass
class Part:
    """One program with its children, in a process group of its own."""

    name: str
    command: list[str]
    environment: dict[str, str]
    folder: Path
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        assert self.process is None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """As a power cut: the whole group at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        self.process = None

    def stop(self) -> None:
        """As an administrator does; whoever does not listen, or is left behind by its parent, is killed."""
        if self.process is None:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        self.process = None


def until(holds: Callable[[], bool], *, within: float, what: str, last: Callable[[], str] = lambda: "") -> float:
    """Seconds that it took. What is not there yet may fail in any way."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        try:
            if holds():
                return time.monotonic() - began
        except (OSError, httpx.HTTPError):
            pass
        time.sleep(0.2)
    raise AssertionError(f"not within {within} s: {what}. {last()}")


def listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def mariadb(folder: Path) -> tuple[Part, str]:
    """A server of our own, and the URL of an empty database in it."""
    data, port = folder / "mariadb", free_port()
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run([*install, "--skip-test-db", f"--user={_me()}"], check=True, capture_output=True, timeout=60)
    options = [f"--datadir={data}", f"--port={port}", f"--socket={folder}/s", "--bind-address=127.0.0.1"]
    options += ["--innodb-flush-log-at-trx-commit=2", "--innodb-fast-shutdown=2"]  # quick; a kill of it loses nothing
    part = Part("mariadb", ["mariadbd", "--no-defaults", f"--user={_me()}", *options], dict(os.environ), folder)
    part.start()
    try:
        until(lambda: listens(port), within=STARTS_WITHIN, what="MariaDB listens")
        rows(f"mysql://root@127.0.0.1:{port}/", "CREATE DATABASE fleet CHARACTER SET utf8mb4")
    except BaseException:
        part.stop()
        raise
    return part, f"mysql://root@127.0.0.1:{port}/fleet"


def rows(database_url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """From a server of our own, over a connection of its own. Raises `ConnectionError` while the server is away."""
    import MySQLdb  # not at the top: a machine that cannot run the fleet collects its tests all the same

    address = urlsplit(database_url)
    where = {"host": "127.0.0.1", "port": address.port, "user": "root", "database": address.path[1:]}
    try:
        with closing(MySQLdb.connect(**where, connect_timeout=3)) as connection:
            cursor = connection.cursor()
            cursor.execute(query, values)
            connection.commit()
            return list(cursor.fetchall() or ())
    except MySQLdb.Error as error:
        raise ConnectionError(str(error)) from error


def redis(folder: Path) -> tuple[Part, str]:
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    part = Part("redis", ["redis-server", *options], dict(os.environ), folder)
    part.start()
    until(lambda: listens(port), within=STARTS_WITHIN, what="Redis listens")
    return part, f"redis://127.0.0.1:{port}/0"


def python(name: str, arguments: str, environment: dict[str, str], folder: Path) -> Part:
    return Part(name, [sys.executable, *arguments.split()], environment, folder)


def _me() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
