"""A login belongs to one process at a time, wherever its directory is seen from."""

import json
import shutil
from pathlib import Path

import pytest

from bridge.engines.base import EngineError
from bridge.engines.simulated import SimulatedEngine
from bridge.sessions.directories import claim
from bridge.settings import Settings
from tests.support.bridge_world import (
    QUICK,
    SESSION,
    SILENT,
    Desk,
    Portal,
    desk_of,
    environment,
    process,
    running,
    until,
)

AGAIN = ["session_authenticated", "session_ready"]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Two data directories, one folder of logins: as over a network disk."""
    (tmp_path / "logins").mkdir()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "simulated").symlink_to(tmp_path / "logins")
    return tmp_path


async def test_a_login_in_use_by_another_bridge_is_refused_in_words(portal: Portal, shared: Path) -> None:
    async with running(portal, shared / "a") as first, running(portal, shared / "b") as second:
        await first.start()
        await until(lambda: portal.find("session_ready"))
        status, answer = await second.start()
        assert status == 500
        assert "in use by process" in answer["error"]
        assert second.bridge.registry.running() == []
        # Nor may it be forgotten there while it runs here.
        assert (await second.stop(logout=True))[0] == 503
        assert (shared / "logins" / SESSION / "login.json").exists()
        await first.stop()
        assert (await second.start())[0] == 200
        await until(lambda: len(portal.find("session_ready")) == 2)
    assert portal.events()[3:] == AGAIN


async def test_a_restore_of_one_in_use_elsewhere_is_marked_disconnected(portal: Portal, shared: Path) -> None:
    async with running(portal, shared / "a") as first:
        await first.start()
        await until(lambda: portal.find("session_ready"))
        portal.active = [{"id": 11, "session_id": SESSION, "workspace_id": 1}]
        async with running(portal, shared / "b") as second:
            await until(lambda: portal.marked)
            assert second.bridge.registry.running() == []
    assert "in use" in portal.marked[0][1]["reason"]


async def test_a_killed_bridge_holds_no_login(portal: Portal, shared: Path) -> None:
    child = await process(environment(portal, shared / "a"))
    try:
        await (await desk_of(child)).start()
        await until(lambda: portal.find("session_ready"))
        async with running(portal, shared / "b") as second:
            assert "in use by process" in (await second.start())[1]["error"]
            child.kill()
            await child.wait()
            assert (await second.start())[0] == 200
            await until(lambda: len(portal.find("session_ready")) == 2)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert portal.events()[3:] == AGAIN


async def test_a_copy_made_while_the_client_ran_is_refused(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path / "a") as desk:
        await desk.start()
        await until(lambda: portal.find("session_ready"))
        shutil.copytree(tmp_path / "a" / "simulated", tmp_path / "b" / "simulated")
    async with running(portal, tmp_path / "b") as desk:
        status, answer = await desk.start()
        assert (status, "is a copy" in answer["error"]) == (500, True)
        (tmp_path / "b" / "simulated" / SESSION / "lock").unlink()
        assert (await desk.start())[0] == 200
        await until(lambda: len(portal.find("session_ready")) == 2)


async def test_a_copy_made_after_the_session_stopped_logs_in(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path / "a") as desk:
        await desk.start()
        await until(lambda: portal.find("session_ready"))
        await desk.stop()
        shutil.copytree(tmp_path / "a" / "simulated" / SESSION, tmp_path / "b" / "simulated" / SESSION)
    async with running(portal, tmp_path / "b") as desk:
        await desk.start()
        await until(lambda: len(portal.find("session_ready")) == 2)
    assert portal.events()[3:] == AGAIN


async def test_a_session_that_never_got_a_login_leaves_nothing(portal: Portal, desk: Desk, tmp_path: Path) -> None:
    await desk.start(simulate=SILENT)
    assert (tmp_path / "simulated" / SESSION).is_dir()
    await desk.stop()
    await desk.start(simulate=SILENT | {"expire_after": 0.05})
    await until(lambda: portal.find("session_expired"))
    await until(lambda: not list((tmp_path / "simulated").iterdir()))


async def test_a_logout_forgets_the_whole_directory(portal: Portal, desk: Desk, tmp_path: Path) -> None:
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    await desk.stop(logout=True)
    assert not (tmp_path / "simulated" / SESSION).exists()


async def test_logins_of_the_old_layout_are_moved_and_log_in_silently(portal: Portal, tmp_path: Path) -> None:
    old = tmp_path / "simulated"
    old.mkdir()
    (old / f"{SESSION}.json").write_text(json.dumps({"phone": "6281999888777", "device": 3}))
    (old / f"{SESSION}.crashed").touch()
    async with running(portal, tmp_path) as desk:
        assert [path.name for path in old.iterdir()] == [SESSION]
        await desk.start(simulate=QUICK | {"crash_after": 0})  # it has crashed already
        await until(lambda: portal.find("session_ready"))
    assert portal.events() == AGAIN


def test_a_claim_is_not_given_twice_and_ends_with_its_release(tmp_path: Path) -> None:
    held = claim(tmp_path / "s")
    with pytest.raises(EngineError, match="in use by process"):
        claim(tmp_path / "s")
    held.release()
    held.release()
    assert not (tmp_path / "s").exists()
    claim(tmp_path / "s").release()


def test_a_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("a file")
    with pytest.raises(EngineError, match="cannot be used"):
        claim(tmp_path / "s")


def test_a_directory_that_was_taken_away_is_released_all_the_same(tmp_path: Path) -> None:
    held = claim(tmp_path / "s")
    shutil.rmtree(tmp_path / "s")
    again = claim(tmp_path / "s")
    held.release()
    with pytest.raises(EngineError, match="in use"):
        claim(tmp_path / "s")
    again.release()


class OfflineEngine(SimulatedEngine):
    """WhatsApp cannot be reached to unlink a device, at the first try."""

    tries = 0

    async def logout(self, session_id: str) -> None:
        await self.stop(session_id)
        self.tries += 1
        if self.tries == 1:
            raise EngineError("WhatsApp cannot be reached")
        await super().logout(session_id)


async def test_a_logout_that_failed_is_no_success_and_the_next_one_unlinks(portal: Portal, tmp_path: Path) -> None:
    def load(settings: Settings) -> OfflineEngine:
        return OfflineEngine(settings.data_dir, environ=settings.environ)

    async with running(portal, tmp_path, load=load) as desk:
        await desk.start()
        await until(lambda: portal.find("session_ready"))
        refused = {"error": "The device could not be unlinked: ask again"}
        assert await desk.stop(logout=True) == (503, refused)
        assert (tmp_path / "simulated" / SESSION / "login.json").exists()
        assert desk.bridge.registry.running() == []
        status, answer = await desk.stop(logout=True)
        assert (status, answer["alreadyDisconnected"]) == (200, True)
        assert not (tmp_path / "simulated" / SESSION).exists()
