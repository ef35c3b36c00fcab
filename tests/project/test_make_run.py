"""`make run` as a newcomer meets it: from nothing to linked, whatever is killed on the way."""

import http.cookiejar
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.servers import free_port

HEARD_WITHIN = 15  # seconds; a bridge whom nobody hears says each 5 s that it is there
HEALS_WITHIN = 75  # seconds; a first QR is waited for 60 s


class Desk:
    """A running copy with its own data directory and ports."""

    def __init__(self, data: Path) -> None:
        self.data = data
        settings = {"LINKDESK_DATA_DIR": str(data), "LINKDESK_SIM_SCAN_AFTER": "4"}
        ports = {"PORT": str(free_port()), "BRIDGE_PORT": str(free_port())}
        services = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "PUBLIC_URL"}
        inherited = {name: value for name, value in os.environ.items() if name not in services}
        self.environment = inherited | settings | ports
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> dict[str, str]:
        """The lines that it prints, by their first word."""
        self.process = self._spawn()
        assert self.process.stdout
        lines: dict[str, str] = {}
        for line in self.process.stdout:
            name, _, value = line.partition(": ")
            lines[name] = value.strip()
            if line.startswith("Logs are in"):
                return lines
        raise AssertionError(f"it ended: {lines}")

    def _spawn(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "deploy.run"]
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True)

    def second(self) -> tuple[int, str]:
        other = self._spawn()
        output, _ = other.communicate(timeout=30)
        return other.returncode, output

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1]

    def kill(self, part: str) -> None:
        os.kill(self.pid_of(part), signal.SIGKILL)

    def pid_of(self, part: str) -> int:
        return int((self.data / "run" / f"{part}.pid").read_text())

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=40)


class Visitor:
    """A browser without a screen: cookies, the form's token, and the page's own addresses."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def start(self) -> None:
        page = self.opener.open(self.url, timeout=10).read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token
        form = urllib.parse.urlencode({"csrfmiddlewaretoken": token[1]}).encode()
        give_up = time.monotonic() + HEARD_WITHIN
        while True:
            try:
                self.opener.open(urllib.request.Request(f"{self.url}start", form, {"Referer": self.url}), timeout=10)
                return
            except urllib.error.HTTPError as refusal:
                if refusal.code != 503 or time.monotonic() > give_up:
                    raise
                time.sleep(0.5)  # the bridge has not been heard of yet

    def snapshot(self) -> dict[str, Any]:
        with self.opener.open(f"{self.url}snapshot", timeout=10) as answer:
            snapshot: dict[str, Any] = json.load(answer)
            return snapshot

    def wait_for(self, is_there: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        last: Any = None
        give_up = time.monotonic() + HEALS_WITHIN
        while time.monotonic() < give_up:
            try:
                last = seen = self.snapshot()
            except OSError as error:  # the web process is being started again
                last = error
            else:
                if is_there(seen):
                    return seen
            time.sleep(0.3)
        raise AssertionError(f"last seen: {last}")


def is_linked(snapshot: dict[str, Any]) -> bool:
    return bool(snapshot["status"] == "connected")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    yield desk
    if desk.process and desk.process.poll() is None:
        desk.stop()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_from_nothing_to_linked_whatever_is_killed(desk: Desk) -> None:
    """One long story, for its start costs more than its steps."""
    printed = desk.start()
    assert re.fullmatch(r"http://localhost:\d+/admin/ user=admin password=\S+", printed["Admin"])
    visitor = Visitor(printed["Linking page"])
    assert visitor.snapshot()["view"] == "idle"
    visitor.start()
    visitor.wait_for(lambda snapshot: "<svg" in snapshot["qr_svg"])
    visitor.wait_for(is_linked)

    code, output = desk.second()
    assert code == 1
    assert "runs already" in output

    for part in ("worker", "web", "bridge"):
        before = desk.pid_of(part)
        visitor = Visitor(desk.manage("invite", "1", "--label", f"while {part} dies"))
        visitor.start()
        desk.kill(part)
        visitor.wait_for(is_linked)
        assert desk.pid_of(part) != before, f"{part} was not started again"

    account = Visitor(printed["Linking page"]).snapshot()["account"]
    assert desk.process
    desk.process.kill()  # its supervisor and all parts are left behind
    desk.process.wait()
    again = desk.start()
    assert Visitor(again["Linking page"]).snapshot()["account"] == account
    assert desk.stop() == 0
    for part in ("supervisord", "web", "worker", "bridge"):
        assert not (desk.data / "run" / f"{part}.pid").exists()
