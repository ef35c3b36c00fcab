"""A real web process for tests: daphne, or uvicorn for webhooks alone, on the test database."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from django.conf import settings
from django.db import connection

from tests.support import ROOT
from tests.support.log_scan import SCAN

# The server's module and arguments, up to its port: daphne serves everything, uvicorn webhooks (docs/operations.md).
DAPHNE = ("deploy.web", "-b", "127.0.0.1", "-p")
UVICORN = ("uvicorn", "config.ingest:application", "--host", "127.0.0.1", "--lifespan", "off", "--port")
STARTS_WITHIN = 30  # seconds; a shared machine may be busy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def portal(*, port: int | None = None, by: tuple[str, ...] = DAPHNE, **more: str) -> Iterator[str]:
    """Run the portal and give its base URL. The test must commit what the server shall see (`transactional_db`)."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", *by, str(port)]
    with (
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environment(url) | more, stdout=log, stderr=subprocess.STDOUT
        ) as server,
    ):
        try:
            _wait_until_it_answers(server, url)
            yield url
        finally:
            server.terminate()
            _wait_until_it_ends(server)
            _show_and_scan(Path(log.name))


def _show_and_scan(log: Path) -> None:
    """For whoever reads a failed test's output, and for the scan of the whole run."""
    sys.stderr.write(log.read_text(errors="replace"))
    SCAN.read_file(log, f"{os.environ.get('PYTEST_CURRENT_TEST')}, by its server")


def environment(url: str = "http://127.0.0.1") -> dict[str, str]:
    """For a process that shares the test database."""
    return os.environ | {
        "DATABASE_URL": _database_url(),
        "SECRET_KEY": settings.SECRET_KEY,
        "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS),
        "LINKDESK_DATA_DIR": str(settings.DATA_DIR),
        "PUBLIC_URL": url,
        "ALLOWED_HOSTS": "127.0.0.1",
        "CSRF_TRUSTED_ORIGINS": url,
    }


def _database_url() -> str:
    """The test database's, which only the test process knows."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    login = f"{values['USER']}:{values['PASSWORD']}" if values["PASSWORD"] else values["USER"]
    return f"mysql://{login}@{values['HOST']}:{values['PORT'] or 3306}/{values['NAME']}"


def _wait_until_it_answers(server: "subprocess.Popen[bytes]", url: str) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until:
        assert server.poll() is None, f"the server ended with {server.returncode}"
        try:
            httpx.get(f"{url}/link/nobody/", timeout=5)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {url} within {STARTS_WITHIN} s")


def _wait_until_it_ends(server: "subprocess.Popen[bytes]") -> None:
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
