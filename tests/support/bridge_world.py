"""A portal that takes webhooks and can misbehave, and a bridge that is spoken to over HTTP."""

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from bridge.engines.base import Engine
from bridge.outbox.signing import sign
from bridge.process import BridgeServer
from bridge.settings import Settings
from tests.support import ROOT

SECRET = "s3cret"
KEY = "test-api-key"
SESSION = "webjs_1_1763600000_abcd1234"

# The first event after ~0 s, connected at once: most tests want to be there.
QUICK: dict[str, Any] = {"scan_after": 0, "ready_after": 0}
SILENT: dict[str, Any] = {"scan_after": -1}

# Seconds, on a machine that is busy with other tests.
PATIENCE = 30
ENDS_WITHIN = 60  # a whole process must start, too

Found = TypeVar("Found")
Load = Callable[[Settings], Engine]
Answered = tuple[int, Any]  # status, JSON


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0
    held: asyncio.Event | None = None


@dataclass
class Webhook:
    event: str
    data: dict[str, Any]
    headers: dict[str, str]
    raw: bytes
    status: int
    at: float


class Portal:
    """`answer` decides per webhook; `attempts` has all of them, `accepted` those answered 2xx or about to be."""

    def __init__(self) -> None:
        self.attempts: list[Webhook] = []
        self.answer: Callable[[Webhook], Answer] = lambda webhook: Answer()
        self.active: list[Any] = []
        self.active_status = 200
        self.active_requests: list[str | None] = []
        self.marked: list[tuple[str, Any, str]] = []
        self.beats: list[dict[str, Any]] = []
        self.advise: Callable[[Any], dict[str, Any]] = lambda said: {"stop": [], "restore": []}
        self.beat_status = 200
        self.beat_delay: float = 0
        self.beat_held: asyncio.Event | None = None
        self.together = self.most_together = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def accepted(self) -> list[Webhook]:
        return [webhook for webhook in self.attempts if 200 <= webhook.status < 300]

    def events(self, session_id: str = SESSION) -> list[str]:
        return [webhook.event for webhook in self.accepted if webhook.data["session_id"] == session_id]

    def find(self, event: str) -> list[Webhook]:
        return [webhook for webhook in self.accepted if webhook.event == event]

    async def open(self) -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/api/whatsapp/webhooks/webjs", self._webhook)
        app.router.add_get("/api/whatsapp/accounts/active", self._active)
        app.router.add_post("/api/whatsapp/bridges/heartbeat", self._beat)
        app.router.add_post("/api/whatsapp/sessions/{id}/mark-disconnected", self._mark)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Connections are refused from here on."""
        if self._runner:
            await self._runner.cleanup()
        self._runner = None

    async def _webhook(self, request: web.Request) -> web.Response:
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        try:
            return await self._take(request)
        finally:
            self.together -= 1

    async def _take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        assert_signed(request, raw)
        body = json.loads(raw)
        webhook = Webhook(body["event"], body["data"], dict(request.headers), raw, 0, time.time())
        answer = self.answer(webhook)
        webhook.status = answer.status
        self.attempts.append(webhook)
        await asyncio.sleep(answer.delay)
        if answer.held:
            await answer.held.wait()
        return web.Response(status=answer.status, headers=answer.headers)

    async def _active(self, request: web.Request) -> web.Response:
        self.active_requests.append(request.headers.get("X-API-Key"))
        return web.json_response({"sessions": self.active}, status=self.active_status)

    async def _beat(self, request: web.Request) -> web.Response:
        assert_signed(request, await request.read())
        said = await request.json()
        advice = self.advise(said)
        self.beats.append(said)
        await asyncio.sleep(self.beat_delay)
        if self.beat_held:
            await self.beat_held.wait()
        return web.json_response({"success": True, **advice}, status=self.beat_status)

    async def _mark(self, request: web.Request) -> web.Response:
        self.marked.append((request.match_info["id"], await request.json(), request.headers["X-API-Key"]))
        return web.json_response({"success": True})


def assert_signed(request: web.Request, raw: bytes) -> None:
    """Its only signature is one of version 2."""
    given = request.headers["X-HMAC-Signature-V2"]
    assert given == sign(SECRET, request.method, request.raw_path, headers=dict(request.headers), body=raw)
    assert "X-HMAC-Signature" not in request.headers


class Desk:
    """What the portal does to a bridge: JSON in, (status, JSON) out."""

    # Of a bridge that runs in this process; the engine is of the test's own class.
    bridge: BridgeServer
    engine: Any

    def __init__(self, port: int) -> None:
        self.port = port
        self.key = KEY

    async def call(self, method: str, path: str, *, raw: Any = None, query: Any = None, **body: Any) -> Answered:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as http:
            if method == "GET":
                arguments: dict[str, Any] = {"params": {"api_key": self.key} if query is None else query}
            else:
                data = raw if raw is not None else json.dumps({"api_key": self.key, **body}).encode()
                arguments = {"data": data, "headers": {"Content-Type": "application/json"}}
            async with http.request(method, url, **arguments) as response:
                return response.status, await response.json()

    async def start(self, session_id: str = SESSION, *, simulate: dict[str, Any] = QUICK, **more: Any) -> Answered:
        body = {"session_id": session_id, "workspace_id": 1, "account_id": 11, "simulate": simulate} | more
        return await self.call("POST", "/api/sessions", **body)

    async def stop(self, session_id: str = SESSION, **more: Any) -> Answered:
        return await self.call("DELETE", f"/api/sessions/{session_id}", **more)

    async def status(self, session_id: str = SESSION) -> Answered:
        return await self.call("GET", f"/api/sessions/{session_id}/status")


def settings(portal: Portal, data_dir: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "linkdesk_url": f"http://127.0.0.1:{portal.port}",
        "hmac_secret": SECRET,
        "api_key": KEY,
        "data_dir": data_dir,
        "port": 0,
        "retry_base": 0.05,
        "heartbeat_every": 0,
        "environ": {"LINKDESK_SIM_ACK_EVERY": "0.01"},
    }
    return Settings(**(values | changes))


def put_logins(data_dir: Path, *session_ids: str) -> None:
    """As if these had been linked here before."""
    for number, session_id in enumerate(session_ids, start=1):
        directory = data_dir / "simulated" / session_id
        directory.mkdir(parents=True)
        (directory / "login.json").write_text(json.dumps({"phone": f"62811{number:08d}", "device": 3}))


@asynccontextmanager
async def running(portal: Portal, data_dir: Path, *, load: Load | None = None, **changes: Any) -> AsyncIterator[Desk]:
    bridge = BridgeServer(settings(portal, data_dir, **changes), load=load)
    desk = Desk(await bridge.start())
    desk.bridge, desk.engine = bridge, bridge._engine
    try:
        yield desk
    finally:
        await bridge.stop()


async def until(condition: Callable[[], Found], *, timeout: float = PATIENCE) -> Found:
    """Waits for it and gives what it gave."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)
    return found


async def until_connected(desk: Desk) -> None:
    while (await desk.status())[1].get("status") != "connected":
        await asyncio.sleep(0.02)


async def settled(desk: Desk, *, waiting: int = 0, dead: int = 0) -> None:
    """Until the outbox holds just this: an answer reaches the portal's list before the bridge's disk."""
    expected = {"waiting": waiting, "dead": dead}
    end = time.monotonic() + PATIENCE
    while (counts := await desk.bridge.registry.outbox_counts()) != expected:
        assert time.monotonic() < end, counts
        await asyncio.sleep(0.01)


def environment(portal: Portal, data_dir: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
        "LINKDESK_URL": f"http://127.0.0.1:{portal.port}",
        "HMAC_SECRET": SECRET,
        "API_KEY": KEY,
        "BRIDGE_DATA_DIR": str(data_dir),
        "BRIDGE_PORT": "0",
        **more,
    }


async def process(env: dict[str, str], *arguments: str, **more: Any) -> Process:
    command = [sys.executable, "-m", "bridge", *arguments]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, env=env, cwd=ROOT, stdout=pipe, stderr=pipe, **more)


async def finished(env: dict[str, str], *arguments: str) -> tuple[int | None, str, str]:
    """(exit code, stdout, stderr) of a bridge command that ends by itself."""
    child = await process(env, *arguments)
    out, err = await asyncio.wait_for(child.communicate(), ENDS_WITHIN)
    return child.returncode, out.decode(), err.decode()


async def desk_of(child: Process) -> Desk:
    """Waits until the bridge process listens."""
    assert child.stderr is not None
    while line := await asyncio.wait_for(child.stderr.readline(), ENDS_WITHIN):
        if b"listening" in line:
            port = int(line.split(b"port=")[1].split()[0])
            return Desk(port)
    raise AssertionError("the bridge ended before it listened")
