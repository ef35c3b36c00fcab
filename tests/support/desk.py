"""A whole installation: MariaDB, Redis, a web process, two workers, three simulated bridges."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support import ROOT
from tests.support.processes import STARTS_WITHIN, Part, mariadb, python, redis, rows, until
from tests.support.servers import free_port

BRIDGES = ("ayu", "budi", "citra")
NOBODY_SCANS = {"LINKDESK_SIM_SCAN_AFTER": "-1"}


@dataclass
class Desk:
    parts: dict[str, Part]
    database_url: str
    url: str
    token: str
    bridges: dict[str, str]  # name -> base URL
    environment: dict[str, str] = field(repr=False)  # of its commands

    def pair(self, phone: str) -> None:
        answer = httpx.post(
            f"{self.url}/api/whatsapp/pair",
            json={"phone_number": phone},
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=20,
        )
        assert answer.status_code == 201, answer.text

    def manage(self, *arguments: str) -> str:
        """The last line that the command prints."""
        return _manage(self.environment, *arguments)

    def statuses(self) -> Counter[str]:
        """Of the accounts, read from the tables: the web process may be the one that is gone."""
        rows = self.rows("SELECT status, COUNT(*) FROM whatsapp_accounts WHERE deleted_at IS NULL GROUP BY status")
        return Counter({status: int(number) for status, number in rows})

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return rows(self.database_url, query, *values)

    def running(self) -> dict[str, int]:
        """How many sessions each bridge says are connected; -1: it does not answer."""
        return {name: _connected(url) for name, url in self.bridges.items()}

    def forget_one(self, name: str) -> str:
        """Let a session vanish at that bridge, behind the desk's back; its login stays on disk."""
        url = self.bridges[name]
        key = {"api_key": f"key-{url}"}
        gone: str = httpx.get(f"{url}/api/sessions", params=key, timeout=5).json()["sessions"][0]["session_id"]
        httpx.request("DELETE", f"{url}/api/sessions/{gone}", json=key, timeout=5).raise_for_status()
        return gone

    def is_ready(self) -> bool:
        return httpx.get(f"{self.url}/readyz", timeout=5).is_success

    def describe(self) -> str:
        """For whoever reads a failed test."""
        try:
            return f"bridges: {self.running()}, accounts: {dict(self.statuses())}"
        except OSError as error:
            return f"bridges: {self.running()}, no database: {error}"


def _connected(url: str) -> int:
    try:
        answer = httpx.get(f"{url}/api/sessions", params={"api_key": f"key-{url}"}, timeout=3).json()
    except httpx.HTTPError:
        return -1
    return sum(session["status"] == "connected" for session in answer["sessions"])


@contextmanager
def installation(folder: Path, *, names: Sequence[str] = BRIDGES, **settings: str) -> Iterator[Desk]:
    """Up and migrated, with nothing linked yet."""
    parts: dict[str, Part] = {}
    try:
        parts["mariadb"], database_url = mariadb(folder)
        parts["redis"], redis_url = redis(folder)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment = (
            os.environ
            | settings
            | {
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "SECRET_KEY": "only-for-this-fleet-0123456789-0123456789-0123456789",
                "FIELD_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
                "LINKDESK_DATA_DIR": str(folder / "data"),
                "PUBLIC_URL": url,
            }
        )
        _manage(environment, "migrate", "--skip-checks", "--verbosity", "0")
        workspace = _manage(environment, "create_workspace", "Toko Fleet")
        token = _manage(environment, "create_token", workspace)
        parts["web"] = python("web", f"-m daphne -b 127.0.0.1 -p {port} config.asgi:application", environment, folder)
        for number in (1, 2):
            own = environment | {"LINKDESK_WORKERS": "2"}
            parts[f"worker{number}"] = python(f"worker{number}", "manage.py worker", own, folder)
        bridges = dict(_bridge(parts, environment, folder, name) for name in names)
        for part in list(parts.values())[2:]:
            part.start()
        desk = Desk(parts, database_url, url, token, bridges, environment)
        until(desk.is_ready, within=STARTS_WITHIN, what="the portal serves")
        yield desk
    finally:
        for part in reversed(parts.values()):
            part.stop()


def _bridge(parts: dict[str, Part], environment: dict[str, str], folder: Path, name: str) -> tuple[str, str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    _manage(
        environment, "create_bridge", name, "--url", url, "--hmac-secret", f"hmac-{name}", "--api-key", f"key-{url}"
    )
    own = {
        "LINKDESK_URL": environment["PUBLIC_URL"],
        "HMAC_SECRET": f"hmac-{name}",
        "API_KEY": f"key-{url}",
        "BRIDGE_PORT": str(port),
        "BRIDGE_DATA_DIR": str(folder / name),
        "HEARTBEAT_EVERY": "2",
        "LINKDESK_SIM_SCAN_AFTER": "0.1",
        "LINKDESK_SIM_READY_AFTER": "0.1",
    }
    parts[name] = python(name, "-m bridge serve", os.environ | own, folder)
    return name, url


def _manage(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
