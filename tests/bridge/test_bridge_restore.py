"""A start brings back what has a login here, two clients at a time; the port is open and the list complete."""

import asyncio
import ctypes
import os
import shutil
import socket
from pathlib import Path

import pytest
import pytest_asyncio

from bridge.engines.base import ClientSpec, Emit
from bridge.engines.simulated import SimulatedEngine
from bridge.settings import Settings
from tests.support.bridge_world import (
    QUICK,
    SILENT,
    Desk,
    Portal,
    desk_of,
    environment,
    finished,
    process,
    put_logins,
    running,
    until,
)

NAMES = [f"s{n}" for n in range(12)]
ROWS = [{"id": n, "session_id": name, "workspace_id": 1, "status": "connected"} for n, name in enumerate(NAMES)]

LIBC = ctypes.CDLL(None)
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2  # linux/prctl.h, linux/capability.h


class SlowEngine(SimulatedEngine):
    """As one that opens a browser."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.data_dir, environ=settings.environ)
        self.started: list[str] = []
        self.starting = self.most_starting = 0

    async def start(self, spec: ClientSpec, *, emit: Emit) -> None:
        self.started.append(spec.session_id)
        self.starting += 1
        self.most_starting = max(self.most_starting, self.starting)
        await asyncio.sleep(0.3)
        self.starting -= 1
        await super().start(spec, emit=emit)


@pytest_asyncio.fixture
async def stored(portal: Portal, tmp_path: Path) -> Path:
    """A data directory whose bridge ran twelve links and a pairing."""
    async with running(portal, tmp_path) as desk:
        for number, name in enumerate(NAMES):
            await desk.start(name, account_id=number, simulate=QUICK)
        await until(lambda: len(portal.find("session_ready")) == len(NAMES))
        await desk.start("pairing", account_id=99, simulate=SILENT)
        await until(lambda: portal.events("pairing"))
    portal.attempts.clear()
    return tmp_path


async def listed(desk: Desk) -> dict[str, str]:
    _, answer = await desk.call("GET", "/api/sessions")
    return {session["session_id"]: session["status"] for session in answer["sessions"]}


async def test_the_first_list_is_complete_and_clients_come_two_at_a_time(portal: Portal, stored: Path) -> None:
    async with running(portal, stored, heartbeat_every=30, load=SlowEngine) as desk:
        first = await listed(desk)
        assert first.pop("pairing") == "qr_scanning"
        # Logged in and not usable yet, and never connected before its client says so.
        assert set(first) == set(NAMES)
        assert set(first.values()) <= {"authenticated", "qr_scanning"}
        assert list(first.values()).count("qr_scanning") <= 2  # whose clients are starting
        await until(lambda: portal.beats)
        assert len(portal.beats[0]["sessions"]) == 13
        await until(lambda: len(portal.find("session_ready")) == 12)
        # Somebody waits before a page for the pairing's code.
        assert "pairing" in desk.engine.started[:2]  # the two at a time
        assert sorted(desk.engine.started) == sorted(["pairing", *NAMES])
        assert desk.engine.most_starting == 2
    assert {session["status"] for session in portal.beats[0]["sessions"]} <= {"authenticated", "qr_scanning"}
    assert portal.marked == []


async def test_an_order_to_start_one_that_waits_goes_first_and_makes_the_only_client(
    portal: Portal, stored: Path
) -> None:
    async with running(portal, stored, load=SlowEngine) as desk:
        last = NAMES[-1]
        assert (await listed(desk))[last] == "authenticated"
        answers = await asyncio.gather(*(desk.start(last, account_id=11) for _ in range(3)))
        assert {status for status, _ in answers} == {200}
        assert last in desk.engine.started[:4]
        await until(lambda: len(portal.find("session_ready")) == 12)
        await asyncio.sleep(0.3)
        assert len(desk.engine.started) == 13
        assert desk.engine.started.count(last) == 1


async def test_one_that_waits_and_is_deleted_is_not_started(portal: Portal, stored: Path) -> None:
    async with running(portal, stored, load=SlowEngine) as desk:
        assert await desk.stop(NAMES[-1]) == (
            200,
            {"success": True, "message": "Session disconnected successfully"},
        )
        await until(lambda: len(portal.find("session_ready")) == 11)
        await asyncio.sleep(0.3)
        assert NAMES[-1] not in desk.engine.started
        assert NAMES[-1] not in await listed(desk)


async def test_a_drain_breaks_it_off_and_the_next_start_begins_again(portal: Portal, stored: Path) -> None:
    async with running(portal, stored, load=SlowEngine) as desk:
        await until(lambda: desk.engine.started)
        await desk.bridge.drain()
        count = len(desk.engine.started)
        await asyncio.sleep(0.5)
        assert len(desk.engine.started) == count < 13
    portal.attempts.clear()
    async with running(portal, stored) as desk:
        await until(lambda: len(portal.find("session_ready")) == 12)


async def test_a_port_in_use_is_said_clearly_and_logs_nobody_in(portal: Portal, stored: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, err = await finished(environment(portal, stored), "--port", port)
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in err
    assert "started session" not in err
    assert portal.attempts == []


async def test_an_empty_data_directory_asks_nobody_to_scan(portal: Portal, tmp_path: Path) -> None:
    portal.active = ROWS
    child = await process(environment(portal, tmp_path, LINKDESK_SIM_SCAN_AFTER="-1"))
    desk = await desk_of(child)
    await until(lambda: len(portal.marked) == len(ROWS))
    assert await listed(desk) == {}
    assert portal.attempts == []
    assert {body["reason"] for _, body, _ in portal.marked} == {"No login here"}
    # What the desk orders it gets: it may know that the link is to be scanned anew.
    assert (await desk.start(NAMES[0], account_id=0, simulate=SILENT))[0] == 200
    await until(lambda: portal.find("qr_code_generated"))
    child.terminate()
    _, err = await asyncio.wait_for(child.communicate(), 15)
    assert b"logins here=0 stored=0 listed=12" in err
    assert f"no login in directory={tmp_path}/simulated but listed=12".encode() in err


async def test_a_link_whose_login_is_gone_is_told_while_a_pairing_goes_on(
    portal: Portal, stored: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bridge.sessions.restore")
    shutil.rmtree(stored / "simulated")
    portal.active = ROWS
    async with running(portal, stored) as desk:
        await until(lambda: len(portal.marked) == len(NAMES))
        await until(lambda: portal.events("pairing"))
        assert await listed(desk) == {"pairing": "qr_scanning"}
    assert sorted(name for name, _, _ in portal.marked) == sorted(NAMES)  # each once
    assert [webhook.event for webhook in portal.attempts] == ["qr_code_generated"]
    assert "logins here=0 stored=13 listed=12" in [record.getMessage() for record in caplog.records]


def obey_permissions() -> None:
    """In the child before it is Python: not even root reads what a mode forbids."""
    if os.geteuid() == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


async def test_a_directory_that_cannot_be_read_keeps_only_its_own_session_from_starting(
    portal: Portal, stored: Path
) -> None:
    put_logins(stored, "listed")
    portal.active = [*ROWS, {"id": 50, "session_id": "listed", "workspace_id": 1}]
    closed = [stored / "simulated" / name for name in (NAMES[0], "listed")]  # one ran before
    for path in closed:
        path.chmod(0)
    child = await process(environment(portal, stored), preexec_fn=obey_permissions)
    try:
        desk = await desk_of(child)
        await until(lambda: len(portal.find("session_ready")) == len(NAMES) - 1)
        await until(lambda: len(portal.marked) == 2)
        assert set(await listed(desk)) == {"pairing", *NAMES[1:]}
        child.terminate()
        _, err = await asyncio.wait_for(child.communicate(), 15)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        for path in closed:
            path.chmod(0o700)
    assert sorted(name for name, _, _ in portal.marked) == ["listed", NAMES[0]]
    why = "The directory of this session's login cannot be used: Permission denied"
    assert {body["reason"] for _, body, _ in portal.marked} == {why}
    lines = [line for line in err.decode().splitlines() if " ERROR " in line]
    assert len(lines) == 2
    assert all(line.endswith(why) for line in lines)
    assert {line.split("session=")[1].split()[0] for line in lines} == {"listed", NAMES[0]}


async def test_logins_from_a_copy_come_back_by_the_portals_list_alone(portal: Portal, tmp_path: Path) -> None:
    put_logins(tmp_path, *NAMES)
    portal.active = ROWS
    async with running(portal, tmp_path):
        await until(lambda: len(portal.find("session_ready")) == len(NAMES))
    assert (portal.find("qr_code_generated"), portal.marked) == ([], [])
