"""Kills, restarts and a portal that comes late lose nothing and start nothing twice."""

import asyncio
import contextlib
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.engines.base import ClientSpec, Emit, EngineError
from bridge.engines.simulated import SimulatedEngine
from bridge.engines.simulated_phone import derived_phone
from bridge.sessions.identifiers import SESSION_ID
from bridge.settings import Settings
from tests.support.bridge_world import (
    KEY,
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
AGAIN = ["session_authenticated", "session_ready"]


@contextlib.asynccontextmanager
async def bridge_process(portal: Portal, data_dir: Path, **more: str) -> AsyncIterator[tuple[Process, Desk]]:
    child = await process(environment(portal, data_dir, **more))
    try:
        yield child, await desk_of(child)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_a_kill_between_storing_and_delivering_loses_nothing(portal: Portal, tmp_path: Path) -> None:
    portal.answer = lambda webhook: Answer(503)
    async with bridge_process(portal, tmp_path) as (child, desk):
        await desk.start(workspace_id="9", simulate=QUICK | {"scan_after": 0.1})
        await desk.start("pairing", account_id=12, simulate=SILENT)
        await until(lambda: {hook.data["session_id"] for hook in portal.attempts} == {SESSION, "pairing"})
        await until_connected(desk)
        child.kill()
        await child.wait()
    boot = portal.attempts[0].headers["X-Bridge-Boot"]
    portal.answer = lambda webhook: Answer()
    async with bridge_process(portal, tmp_path) as (_, desk):
        await until(lambda: len(portal.find("session_ready")) == 2)
        # What happened before the kill comes first and says so; then the login, silently.
        assert portal.events() == READY + AGAIN
        mine = [hook for hook in portal.accepted if hook.data["session_id"] == SESSION]
        assert [hook.headers["X-Bridge-Boot"] == boot for hook in mine] == [True] * 3 + [False] * 2
        sequences = [int(hook.headers["X-Bridge-Sequence"]) for hook in mine]
        assert sequences == sorted(sequences)
        assert {hook.data["workspace_id"] for hook in mine} == {"9"}
        # The page that waits for the other one gets a fresh code.
        await until(lambda: "qr_code_generated" in portal.events("pairing"))
        _, listed = await desk.call("GET", "/api/sessions")
        assert {one["session_id"] for one in listed["sessions"]} == {SESSION, "pairing"}


async def test_a_simulated_crash_is_a_kill_and_happens_once(portal: Portal, tmp_path: Path) -> None:
    async with bridge_process(portal, tmp_path) as (child, desk):
        await desk.start(simulate=QUICK | {"crash_after": 0.3})
        assert await asyncio.wait_for(child.wait(), 10) == 137
    async with bridge_process(portal, tmp_path) as (child, _):
        await until(lambda: len(portal.find("session_ready")) >= 2)
        await asyncio.sleep(0.5)
        assert child.returncode is None


async def test_sigterm_ends_it_cleanly_and_its_log_tells_no_secrets(portal: Portal, tmp_path: Path) -> None:
    async with bridge_process(portal, tmp_path) as (child, desk):
        await desk.start()
        await until(lambda: portal.find("session_ready"))
        portal.answer = lambda webhook: Answer(400)
        order = {"session_id": SESSION, "recipient_phone": "6281234567890", "message": "secret words"}
        await desk.call("POST", "/api/messages/send", **order)
        await until(lambda: len(portal.attempts) > 3)
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        log = (await asyncio.wait_for(child.stderr.read(), 10)).decode()
        assert await asyncio.wait_for(child.wait(), 10) == 0
    assert "stopped" in log
    # Whole numbers: an event id is hexadecimal, and may well have 628 in it.
    for secret in (KEY, "s3cret", "6281234567890", derived_phone(11), "2@", "base64", "secret words"):
        assert secret not in log


async def test_a_second_process_on_the_same_data_directory_is_refused(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path):
        code, _, err = await finished(environment(portal, tmp_path))
    assert code == 2
    assert "another bridge" in err
    assert str(tmp_path) in err


async def test_a_restart_logs_in_silently_and_ends_nothing(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path) as desk:
        await desk.start()
        await until(lambda: portal.find("session_ready"))
    assert portal.events() == READY
    portal.active = [{"id": 11, "session_id": SESSION, "workspace_id": 1}]
    async with running(portal, tmp_path):
        await until(lambda: len(portal.find("session_ready")) == 2)
        await until(lambda: len(portal.active_requests) == 2)
        await asyncio.sleep(0.1)
    # Stored here and listed there: started once.
    assert portal.events() == READY + AGAIN
    assert portal.marked == []


async def test_a_deleted_session_stays_deleted_over_a_restart(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path) as desk:
        await desk.start(simulate=SILENT)
        await until(lambda: portal.accepted)
        await desk.stop()
    async with running(portal, tmp_path) as desk:
        assert desk.bridge.registry.running() == []


async def test_what_the_portal_lists_is_started(portal: Portal, tmp_path: Path) -> None:
    put_logins(tmp_path, "listed")
    portal.active = [{"id": 7, "session_id": "listed", "workspace_id": "9", "status": "connected"}]
    async with running(portal, tmp_path) as desk:
        await until(lambda: portal.events("listed"))
        _, answer = await desk.call("GET", "/api/sessions/listed/metadata")
    assert portal.active_requests == [KEY]
    assert answer["metadata"]["accountId"] == 7
    assert portal.accepted[0].data["workspace_id"] == "9"


async def test_the_portal_may_come_late_and_be_broken_first(portal: Portal, tmp_path: Path) -> None:
    put_logins(tmp_path, "listed")
    portal.active = [{"id": 7, "session_id": "listed", "workspace_id": 1}]
    portal.active_status = 503
    await portal.close()
    async with running(portal, tmp_path):
        await asyncio.sleep(0.2)
        await portal.open()
        await until(lambda: portal.active_requests)
        portal.active_status = 200
        await until(lambda: portal.events("listed"))


async def test_what_cannot_be_restored_is_marked_disconnected(portal: Portal, tmp_path: Path) -> None:
    put_logins(tmp_path, "broken", "well")
    portal.active = [
        {"id": None, "session_id": "ownerless", "workspace_id": 1},
        {"id": 8, "session_id": "../../etc", "workspace_id": 1},
        {"id": 9, "session_id": "broken", "workspace_id": 2},
        {"id": 10, "session_id": "well", "workspace_id": 1},
        "nonsense",
    ]
    async with running(portal, tmp_path, load=BreakingEngine.load):
        await until(lambda: len(portal.marked) == 2)
        await until(lambda: portal.events("well"))
    (broken, second, _), (ownerless, first, key) = sorted(portal.marked, key=lambda mark: mark[0])
    assert (ownerless, key, broken) == ("ownerless", KEY, "broken")
    assert "account_id" in first["reason"]
    assert second == {"workspace_id": 2, "reason": "No browser to start"}


async def test_a_start_that_fails_is_forgotten_and_says_why(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path, load=BreakingEngine.load) as desk:
        assert await desk.start("broken") == (500, {"error": "No browser to start"})
        assert desk.bridge.registry.running() == []
    async with running(portal, tmp_path) as desk:
        assert desk.bridge.registry.running() == []


async def test_a_delete_wins_over_a_list_that_was_read_before(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path) as desk:
        registry = desk.bridge.registry
        await desk.start()
        session = registry.get(SESSION)
        with registry.moment() as before:
            await desk.stop()
            assert not await registry.restore(session, moment=before)
        assert registry.running() == []


class BreakingEngine(SimulatedEngine):
    """Cannot start the session named broken."""

    @classmethod
    def load(cls, settings: Settings) -> "BreakingEngine":
        return cls(settings.data_dir, environ=settings.environ)

    async def start(self, spec: ClientSpec, *, emit: Emit) -> None:
        if spec.session_id == "broken":
            raise EngineError("No browser to start")
        await super().start(spec, emit=emit)


@pytest.mark.parametrize("name", ["..", "a/b", "a\n", "ä", ""])
def test_no_session_id_leads_out_of_its_directory(name: str) -> None:
    assert not SESSION_ID.fullmatch(name)
