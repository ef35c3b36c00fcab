"""A session's login is exported, imported on another machine, and logs in there without a code."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from bridge.engines.simulated_phone import derived_phone
from bridge.errors import ConfigurationError
from bridge.sessions.login_files import export_session, import_session
from tests.support import ROOT
from tests.support.bridge_world import SESSION, SILENT, Desk, Portal, finished, running, until

READY = ["qr_code_generated", "session_authenticated", "session_ready"]
AGAIN = READY[1:]


async def sessions(data_dir: Path, *arguments: str | Path) -> tuple[int | None, str, str]:
    return await finished({}, "sessions", *map(str, arguments), "--data-dir", str(data_dir))


async def linked(portal: Portal, desk: Desk) -> None:
    await desk.start()
    await until(lambda: portal.find("session_ready"))


async def test_a_session_stopped_and_moved_logs_in_silently_when_it_is_ordered_there(
    portal: Portal, tmp_path: Path
) -> None:
    file = tmp_path / "moved.tar"
    async with running(portal, tmp_path / "a") as first, running(portal, tmp_path / "b") as second:
        await linked(portal, first)
        await first.stop()
        assert (await sessions(tmp_path / "a", "export", SESSION, file))[:2] == (0, f"{SESSION} is in {file}\n")
        code, out, _ = await sessions(tmp_path / "b", "import", file)  # while it runs
        assert (code, SESSION in out) == (0, True)
        assert (await second.start())[0] == 200
        await until(lambda: len(portal.find("session_ready")) == 2)
    assert portal.events() == READY + AGAIN
    assert portal.accepted[-1].headers["X-Bridge-Boot"] == second.bridge.registry.boot
    assert portal.find("session_ready")[0].data["device_jid"] == portal.find("session_ready")[1].data["device_jid"]
    assert file.stat().st_mode & 0o777 == 0o600


async def test_the_portals_restore_list_brings_it_up_there(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path / "a") as first:
        await linked(portal, first)
        await first.stop()
    await sessions(tmp_path / "a", "export", SESSION, tmp_path / "moved.tar")
    await sessions(tmp_path / "b", "import", tmp_path / "moved.tar")
    portal.advise = lambda said: {
        "stop": [],
        "restore": [{"id": 11, "session_id": SESSION, "workspace_id": 1}],
    }
    async with running(portal, tmp_path / "b", heartbeat_every=30):
        await until(lambda: len(portal.find("session_ready")) == 2)
    assert portal.events() == READY + AGAIN


async def test_of_a_stopped_bridge_the_order_moves_along_and_it_starts_by_itself(
    portal: Portal, tmp_path: Path
) -> None:
    async with running(portal, tmp_path / "a") as first:
        await first.start(workspace_id="9")
        await until(lambda: portal.find("session_ready"))
    code, out, _ = await sessions(tmp_path / "a", "export", SESSION, tmp_path / "moved.tar")
    assert (code, "will start it again" in out) == (0, True)
    # Not by a DELETE: what is only stopped the portal starts again.
    assert "take its folder out of the data directory before this bridge is started" in out
    heading = out.split('"')[1]
    assert f"### {heading}\n" in (ROOT / "docs" / "operations.md").read_text()
    await sessions(tmp_path / "b", "import", tmp_path / "moved.tar")
    async with running(portal, tmp_path / "b") as second:
        await until(lambda: len(portal.find("session_ready")) == 2)
        assert second.bridge.registry.running()[0].account_id == 11
    assert portal.events() == READY + AGAIN
    assert portal.accepted[-1].data["workspace_id"] == "9"


async def test_one_that_runs_is_not_exported(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path) as desk:
        await linked(portal, desk)
        code, _, err = await sessions(tmp_path, "export", SESSION, tmp_path / "x.tar")
    assert (code, "in use by process" in err) == (2, True)
    assert not (tmp_path / "x.tar").exists()


async def test_what_is_not_there_or_never_linked_is_not_exported(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path) as desk:
        await desk.start(simulate=SILENT)
    for name in (SESSION, "nobody", ".."):
        with pytest.raises(ConfigurationError, match="has no login here"):
            export_session(tmp_path, "simulated", name, file=tmp_path / "x.tar")


async def test_nothing_is_overwritten(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path / "a") as desk:
        await linked(portal, desk)
    file = tmp_path / "x.tar"
    assert (await sessions(tmp_path / "a", "export", SESSION, file))[0] == 0
    code, _, err = await sessions(tmp_path / "a", "export", SESSION, file)
    assert (code, "is there already" in err) == (2, True)
    code, _, err = await sessions(tmp_path / "a", "import", file)
    assert (code, "has a login here already" in err) == (2, True)
    assert [path.name for path in (tmp_path / "a" / "simulated").iterdir()] == [SESSION]


async def test_a_file_that_is_no_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.tar").write_text("words")
    other = {"format": 1, "engine": "nonesuch", "session_id": SESSION, "row": None}
    outside = other | {"engine": "simulated", "session_id": "../x"}
    tar_of(tmp_path / "engine.tar", about=other)
    tar_of(tmp_path / "outside.tar", about=outside)
    tar_of(tmp_path / "climbs.tar", about=outside | {"session_id": SESSION}, member="login/../../x")
    tar_of(tmp_path / "empty.tar", about=outside | {"session_id": SESSION}, member="other/x")
    for name in ("none", "words", "engine", "outside", "climbs", "empty"):
        with pytest.raises(ConfigurationError):
            import_session(tmp_path / "data", "simulated", file=tmp_path / f"{name}.tar")
    code, _, err = await sessions(tmp_path / "data", "import", tmp_path / "words.tar")
    assert (code, "Traceback" in err) == (2, False)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def tar_of(file: Path, *, about: dict[str, Any], member: str = "login/login.json") -> None:
    with tarfile.open(file, "w") as tar:
        for name, content in {"session.json": json.dumps(about).encode(), member: b"{}"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


async def test_the_list_says_what_is_here_and_who_has_it(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path) as desk:
        await linked(portal, desk)
        await desk.start("kept", account_id=12)
        await until(lambda: len(portal.find("session_ready")) == 2)
        await desk.stop("kept")
        _, out, _ = await sessions(tmp_path, "list")
    kept, runs = (line.split("\t") for line in out.splitlines())
    assert kept == ["kept", "stopped", "kept"]
    assert (runs[0], runs[2]) == (SESSION, "starts with the bridge")
    assert "in use by process" in runs[1]
    assert derived_phone(11) not in out
