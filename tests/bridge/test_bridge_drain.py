"""SIGTERM: no new clients, what is under way is finished, what is unsent is sent or waits for the next start."""

import asyncio
import signal
import time
from asyncio.subprocess import Process
from pathlib import Path

import aiohttp

from bridge.engines.base import ClientSpec, Emit
from bridge.engines.simulated import SimulatedEngine
from bridge.settings import Settings
from tests.support.bridge_world import (
    ENDS_WITHIN,
    KEY,
    PATIENCE,
    QUICK,
    SESSION,
    SILENT,
    Answer,
    Desk,
    Portal,
    desk_of,
    environment,
    finished,
    process,
    put_logins,
    running,
    until,
    until_connected,
)

READY = ["qr_code_generated", "session_authenticated", "session_ready"]


async def ended(child: Process) -> int:
    return await asyncio.wait_for(child.wait(), ENDS_WITHIN)


async def test_what_is_unsent_is_sent_before_the_end(portal: Portal, tmp_path: Path) -> None:
    taken = asyncio.Event()
    portal.answer = lambda webhook: Answer(held=taken)
    child = await process(environment(portal, tmp_path))
    desk = await desk_of(child)
    await desk.start(simulate=QUICK)
    await until_connected(desk)
    await until(lambda: portal.beats and portal.attempts)
    child.send_signal(signal.SIGTERM)
    await until(lambda: portal.beats[-1]["draining"])
    assert len(portal.attempts) == 1
    taken.set()
    assert await ended(child) == 0
    # What happened before the signal; the sessions themselves say nothing about the end.
    assert portal.events() == READY
    assert (await finished({"BRIDGE_DATA_DIR": str(tmp_path)}, "outbox", "list"))[1] == "0 dead, 0 waiting\n"
    assert [beat["draining"] for beat in portal.beats] == [False, True]
    assert [(said["session_id"], said["status"]) for said in portal.beats[-1]["sessions"]] == [(SESSION, "connected")]


async def test_what_cannot_be_sent_waits_for_the_next_start(portal: Portal, tmp_path: Path) -> None:
    portal.answer = lambda webhook: Answer(503)
    env = environment(portal, tmp_path, LINKDESK_SIM_READY_AFTER="0", LINKDESK_SIM_SCAN_AFTER="0", DRAIN_WITHIN="1")
    child = await process(env)
    desk = await desk_of(child)
    await desk.start(simulate={})
    await until_connected(desk)
    begun = time.monotonic()
    child.terminate()
    assert await ended(child) == 0
    assert time.monotonic() - begun < 7  # the default is 8
    portal.answer = lambda webhook: Answer()
    child = await process(env)
    await desk_of(child)
    await until(lambda: portal.events()[:3] == READY)
    child.terminate()
    assert await ended(child) == 0


async def test_a_draining_bridge_refuses_what_needs_a_client_and_still_answers(portal: Portal, tmp_path: Path) -> None:
    taken = asyncio.Event()
    portal.answer = lambda webhook: Answer(held=taken)
    async with running(portal, tmp_path, heartbeat_every=30, drain_within=PATIENCE) as desk:
        await desk.start(simulate=SILENT)
        assert (await desk.call("GET", "/health", query={}))[1]["draining"] is False
        draining = asyncio.create_task(desk.bridge.drain())
        await asyncio.sleep(0.1)
        refused = (503, {"error": "Bridge is shutting down: ask again when it is back"})
        assert await desk.start("another") == refused
        ids = {"workspace_id": 1, "account_id": 11}
        assert await desk.call("POST", "/api/sessions/another/reconnect", **ids) == refused
        order = {"session_id": SESSION, "recipient_phone": "6281234567890", "message": "x"}
        assert await desk.call("POST", "/api/messages/send", **order) == refused
        assert (await desk.stop("nobody"))[0] == 200
        _, health = await desk.call("GET", "/health", query={})
        assert (health["draining"], health["sessions"]["total"]) == (True, 1)
        taken.set()
        await draining
    assert portal.beats[-1]["draining"] is True
    assert portal.events() == READY[:1]


async def test_what_is_deleted_during_the_drain_stays_deleted(portal: Portal, tmp_path: Path) -> None:
    portal.answer = lambda webhook: Answer(delay=0.4)
    async with running(portal, tmp_path) as desk:
        await desk.start(simulate=QUICK)
        await until(lambda: portal.find("session_authenticated"))
        draining = asyncio.create_task(desk.bridge.drain())
        await asyncio.sleep(0.1)
        assert (await desk.stop(logout=True))[1]["success"]
        await draining
    assert not (tmp_path / "simulated" / SESSION).exists()
    async with running(portal, tmp_path) as desk:
        assert desk.bridge.registry.running() == []


async def test_the_refusal_says_when_to_ask_again(desk: Desk) -> None:
    desk.bridge.registry.draining = True
    body = {"api_key": KEY, "session_id": SESSION, "workspace_id": 1, "account_id": 11}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{desk.port}/api/sessions", json=body) as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")


class SlowEngine(SimulatedEngine):
    @classmethod
    def load(cls, settings: Settings) -> "SlowEngine":
        return cls(settings.data_dir, environ=settings.environ)

    async def start(self, spec: ClientSpec, *, emit: Emit) -> None:
        await asyncio.sleep(0.4)
        await super().start(spec, emit=emit)


async def test_a_request_under_way_is_finished(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path, load=SlowEngine.load) as desk:
        start = asyncio.create_task(desk.start(simulate=SILENT))
        await asyncio.sleep(0.1)
        await desk.bridge.drain()
        assert (await start)[0] == 200
        assert desk.engine._clients == {}  # finished first, ended then
    async with running(portal, tmp_path) as desk:
        assert [session.session_id for session in desk.bridge.registry.running()] == [SESSION]


async def test_a_restore_under_way_breaks_off_and_is_done_by_the_next_start(portal: Portal, tmp_path: Path) -> None:
    portal.active = [{"id": n, "session_id": f"s{n}", "workspace_id": 1} for n in range(20)]
    put_logins(tmp_path, *(f"s{n}" for n in range(20)))
    async with running(portal, tmp_path, load=SlowEngine.load) as desk:
        await until(lambda: desk.bridge.registry.running())
        await desk.bridge.drain()
        assert len(desk.bridge.registry.running()) < 20
    async with running(portal, tmp_path) as desk:
        await until(lambda: len(desk.bridge.registry.running()) == 20)
    assert portal.marked == []


async def test_a_portal_that_does_not_answer_holds_the_end_for_drain_within_only(
    portal: Portal, tmp_path: Path
) -> None:
    portal.answer = lambda webhook: Answer(delay=30)
    portal.beat_delay = 30
    child = await process(environment(portal, tmp_path, DRAIN_WITHIN="1"))
    desk = await desk_of(child)
    await desk.start(simulate=QUICK)
    await until(lambda: portal.beats and portal.attempts)
    begun = time.monotonic()
    child.terminate()
    assert await ended(child) == 0
    assert time.monotonic() - begun < 7


async def test_the_second_sigterm_ends_it_at_once(portal: Portal, tmp_path: Path) -> None:
    portal.answer = lambda webhook: Answer(delay=30)
    child = await process(environment(portal, tmp_path, DRAIN_WITHIN="60"))
    desk = await desk_of(child)
    await desk.start()
    await until(lambda: portal.beats and portal.attempts)
    child.terminate()
    await until(lambda: portal.beats[-1]["draining"])
    assert child.returncode is None
    child.terminate()
    assert await asyncio.wait_for(child.wait(), 20) == 128 + signal.SIGTERM
    assert len(portal.attempts) == 1
    child = await process(environment(portal, tmp_path))
    await desk_of(child)
    await until(lambda: len(portal.attempts) == 2)
    child.kill()
    await ended(child)
