"""The bridge tells the portal what it runs, and stops and restores what it is told to, if that is still true."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.engines.base import ClientSpec, Emit, EngineError
from bridge.engines.simulated import SimulatedEngine
from bridge.settings import Settings
from tests.support.bridge_world import QUICK, SESSION, SILENT, Desk, Portal, put_logins, running, until

LISTED = {"id": 7, "session_id": "listed", "workspace_id": 1}


def once(**advice: Any) -> Callable[[Any], dict[str, Any]]:
    """The next beat is answered so, those after it with nothing."""
    answers = [advice]
    return lambda said: {"stop": [], "restore": []} | (answers.pop() if answers else {})


async def test_the_first_beat_comes_at_once_and_says_what_the_bridge_is(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path, heartbeat_every=30, capacity=7) as desk:
        await until(lambda: portal.beats)
        assert portal.beats[0] == {
            "library": "simulated",
            "version": "1.0.0",
            "capacity": 7,
            "capabilities": ["qr", "pairing_code", "logout"],
            "boot": desk.bridge.registry.boot,
            "draining": False,
            "sessions": [],
        }


async def test_beats_go_on_and_name_every_session_with_its_status(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path, heartbeat_every=0.1) as desk:
        await desk.start()
        await desk.start("pairing", account_id=12, simulate=SILENT)
        expected = {(SESSION, "connected"), ("pairing", "qr_scanning")}
        await until(lambda: expected == {(one["session_id"], one["status"]) for one in portal.beats[-1]["sessions"]})
        assert len(portal.beats) > 1


async def test_every_0_means_none(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path, heartbeat_every=0):
        await asyncio.sleep(0.2)
    assert portal.beats == []


async def test_what_is_on_the_stop_list_is_stopped_and_keeps_its_login(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path, heartbeat_every=0.1) as desk:
        await desk.start()
        await until(lambda: portal.find("session_ready"))
        portal.advise = lambda said: {"stop": [SESSION, "unknown", 7], "restore": []}
        await until(lambda: desk.bridge.registry.running() == [])
        portal.advise = lambda said: {"stop": [], "restore": []}
        await desk.start()
        await until(lambda: len(portal.find("session_ready")) == 2)
    assert portal.events()[3:] == ["session_authenticated", "session_ready"]


async def test_what_has_spoken_since_the_beat_is_not_stopped(portal: Portal, tmp_path: Path) -> None:
    """A scan that was under way: the portal reopens its session while the answer is on its way."""
    async with running(portal, tmp_path, heartbeat_every=30) as desk:
        await desk.start("quiet", account_id=12, simulate=SILENT)
        await desk.start(simulate=QUICK | {"scan_after": 2})
        await until(lambda: len(portal.find("qr_code_generated")) == 2)
        portal.beat_held = asyncio.Event()
        beat = asyncio.create_task(beat_once(desk, portal, stop=[SESSION, "quiet"]))
        await until(lambda: len(portal.beats) == 2)
        assert not portal.find("session_authenticated")
        await until(lambda: portal.find("session_ready"))
        portal.beat_held.set()
        await beat
        assert [session.session_id for session in desk.bridge.registry.running()] == [SESSION]


async def test_what_was_started_since_the_beat_is_not_stopped(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path, heartbeat_every=30) as desk:
        await desk.start(simulate=SILENT)
        await until(lambda: portal.accepted)
        portal.beat_held = asyncio.Event()
        beat = asyncio.create_task(beat_once(desk, portal, stop=[SESSION]))
        await until(lambda: portal.beats[-1]["sessions"])
        await desk.start()  # it runs: the portal wants it again
        portal.beat_held.set()
        await beat
        assert [session.session_id for session in desk.bridge.registry.running()] == [SESSION]


async def beat_once(desk: Desk, portal: Portal, **advice: Any) -> None:
    """One beat now, and all that follows from its answer."""
    portal.advise = once(**advice)
    await desk.bridge._heartbeat._beat()


async def test_what_is_on_the_restore_list_is_started_once(portal: Portal, tmp_path: Path) -> None:
    put_logins(tmp_path, "listed")
    async with running(portal, tmp_path, heartbeat_every=0.1, load=CountingEngine) as desk:
        portal.advise = lambda said: {"stop": [], "restore": [LISTED, LISTED, "nonsense"]}
        await until(lambda: portal.events("listed"))
        beats = len(portal.beats)
        await until(lambda: len(portal.beats) > beats + 3)
        assert desk.engine.started == ["listed"]
    assert portal.find("session_authenticated")[0].data["workspace_id"] == 1
    assert portal.marked == []


async def test_a_restore_that_fails_is_marked_disconnected(portal: Portal, tmp_path: Path) -> None:
    put_logins(tmp_path, "broken")
    portal.advise = once(restore=[LISTED | {"session_id": "broken"}, {"session_id": "ownerless", "workspace_id": 3}])
    async with running(portal, tmp_path, heartbeat_every=30, load=CountingEngine) as desk:
        await until(lambda: len(portal.marked) == 2)
        assert desk.bridge.registry.running() == []
    reasons = {session_id: body["reason"] for session_id, body, _ in portal.marked}
    assert reasons["broken"] == "No browser to start"
    assert "account_id" in reasons["ownerless"]


async def test_restores_are_paced_two_at_once(portal: Portal, tmp_path: Path) -> None:
    put_logins(tmp_path, *(f"s{n}" for n in range(8)))
    rows = [LISTED | {"session_id": f"s{n}", "id": n} for n in range(8)]
    portal.advise = once(restore=rows)
    async with running(portal, tmp_path, heartbeat_every=30, load=CountingEngine) as desk:
        await until(lambda: len(desk.bridge.registry.running()) == 8)
        assert desk.engine.most_starting == 2


async def test_what_was_deleted_since_the_beat_is_not_resurrected(portal: Portal, tmp_path: Path) -> None:
    put_logins(tmp_path, "listed")
    async with running(portal, tmp_path, heartbeat_every=30) as desk:
        await until(lambda: portal.beats)
        portal.beat_held = asyncio.Event()
        beat = asyncio.create_task(beat_once(desk, portal, restore=[LISTED]))
        await until(lambda: len(portal.beats) == 2)
        await desk.stop("listed")
        portal.beat_held.set()
        await beat
        assert desk.bridge.registry.running() == []
        await beat_once(desk, portal, restore=[LISTED])  # the portal knows of it by now, and wants it
        assert len(desk.bridge.registry.running()) == 1


async def test_a_full_bridge_refuses_the_next_start_but_nothing_whose_login_is_here(
    portal: Portal, tmp_path: Path
) -> None:
    put_logins(tmp_path, "listed", "second", "third")
    portal.active = [LISTED, LISTED | {"session_id": "second"}]
    portal.advise = once(restore=[LISTED | {"session_id": "third"}])
    async with running(portal, tmp_path, heartbeat_every=30, capacity=1) as desk:
        await until(lambda: len(desk.bridge.registry.running()) == 3)
        assert (await desk.start())[0] == 503
        _, health = await desk.call("GET", "/health", query={})
        # The desk starts again what was only stopped: it logs in nowhere else.
        await desk.stop("second")
        assert (await desk.start("second", account_id=7))[0] == 200
        await until(lambda: "session_ready" in portal.events("second"))
    assert (health["capacity"], health["sessions"]["total"]) == (1, 3)
    assert portal.find("qr_code_generated") == []
    portal.active = []
    async with running(portal, tmp_path, capacity=1) as desk:
        assert len(desk.bridge.registry.running()) == 3


@pytest.mark.parametrize("trouble", ["refused", "status", "words"])
async def test_an_outage_is_logged_once_and_costs_nothing(
    portal: Portal, tmp_path: Path, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bridge.heartbeat")
    if trouble == "refused":
        await portal.close()
    if trouble == "status":
        portal.beat_status = 503
    if trouble == "words":
        portal.advise = lambda said: {"stop": "all", "restore": []}
    async with running(portal, tmp_path, heartbeat_every=0.05) as desk:
        await until(lambda: told(caplog))
        await asyncio.sleep(0.4)
        assert [word.split(" error=")[0] for word in told(caplog)] == ["heartbeat not heard"]
        assert (await desk.start(simulate=SILENT))[0] == 200
        if trouble == "refused":
            await portal.open()
        portal.beat_status = 200
        portal.advise = lambda said: {"stop": [], "restore": []}
        await until(lambda: told(caplog)[-1] == "heartbeat heard again")
        assert [session.session_id for session in desk.bridge.registry.running()] == [SESSION]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "bridge.heartbeat"]


class CountingEngine(SimulatedEngine):
    """Knows what it started; takes its time; cannot start the session named broken."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.data_dir, environ=settings.environ)
        self.started: list[str] = []
        self.starting = self.most_starting = 0

    async def start(self, spec: ClientSpec, *, emit: Emit) -> None:
        if spec.session_id == "broken":
            raise EngineError("No browser to start")
        self.started.append(spec.session_id)
        self.starting += 1
        self.most_starting = max(self.most_starting, self.starting)
        await asyncio.sleep(0.25)  # longer than the spread: two must meet
        self.starting -= 1
        await super().start(spec, emit=emit)


async def test_starts_reconnects_and_restores_at_once_make_one_client(portal: Portal, tmp_path: Path) -> None:
    portal.active = [LISTED]
    portal.advise = lambda said: {"stop": [], "restore": [LISTED]}
    path, ids = "/api/sessions/listed/reconnect", {"workspace_id": 1, "account_id": 7}
    async with running(portal, tmp_path, heartbeat_every=0.02, load=CountingEngine) as desk:
        answers = await asyncio.gather(
            *(desk.start("listed", account_id=7, simulate=SILENT) for _ in range(20)),
            *(desk.call("POST", path, **ids) for _ in range(5)),
        )
        assert {status for status, _ in answers} == {200}
        beats = len(portal.beats)
        await until(lambda: portal.active_requests and len(portal.beats) > beats + 3)
        await asyncio.sleep(0.3)
        assert desk.engine.started == ["listed"]
        assert list(desk.engine._clients) == ["listed"]
    assert [hook.data["qr_count"] for hook in portal.find("qr_code_generated")] == [1]
