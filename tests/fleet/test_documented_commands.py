"""What operators paste from docs/operations.md does what it says, and says so when it failed."""

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.database import Database
from bridge.outbox import store
from tests.support import ROOT
from tests.support.documented import commands_below, run_bash

WHOLE = "CREATE TABLE whole (a int);\n-- Dump completed on 2026-11-20 10:00:00\n"
HALF = "CREATE TABLE half"

Stub = Callable[[str, str], None]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    return {"PATH": path, "SET": str(tmp_path), "CNF": "cnf", "DB": "desk", "LINKDESK_DATA_DIR": str(tmp_path)}


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    """A program of that name which is found first."""
    (tmp_path / "bin").mkdir()

    def put(name: str, script: str) -> None:
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    return put


@pytest.mark.parametrize(("dump", "code", "succeeds"), [(WHOLE, 0, True), (WHOLE, 2, False), (HALF, 0, False)])
def test_a_dump_that_is_not_whole_is_no_success(
    dump: str, code: int, succeeds: bool, stub: Stub, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "dump").write_text(dump)
    stub("mariadb-dump", f"cat {tmp_path}/dump; exit {code}")
    done = run_bash(commands_below("Back up the database"), environment)
    assert (done.returncode == 0, "is whole" in done.stdout) == (succeeds, succeeds), done


@pytest.mark.parametrize(("dump", "calls"), [(WHOLE, 2), (HALF, 0)])
def test_a_dump_that_is_not_whole_drops_no_database(
    dump: str, calls: int, stub: Stub, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "database.sql.gz").write_bytes(gzip.compress(dump.encode()))
    stub("mariadb", f"echo called >> {tmp_path}/calls; cat > /dev/null")
    (tmp_path / "calls").touch()
    done = run_bash(commands_below("Restore the database"), environment)
    assert (done.returncode == 0, len((tmp_path / "calls").read_text().splitlines())) == (calls > 0, calls), done


def test_media_are_backed_up_also_before_the_first_file(tmp_path: Path, environment: dict[str, str]) -> None:
    done = run_bash(f"set -e\n{commands_below('Backup')}", environment)
    assert done.returncode == 0, done
    assert (tmp_path / "media.tar.gz").exists()


def test_a_bridges_commands_run_with_its_user_and_its_settings(
    stub: Stub, tmp_path: Path, environment: dict[str, str]
) -> None:
    commands = commands_below("A bridge's settings and commands")
    stub("runuser", '[ "$1 $2 $3" = "-u bridge --" ] && shift 3 && exec "$@"')
    (tmp_path / "bridge.env").write_text(f"BRIDGE_DATA_DIR='{tmp_path}'\nBRIDGE_ENGINE='simulated'\n")
    database = Database(tmp_path)
    data = {"session_id": "s1", "workspace_id": 1}
    database.transact(lambda connection: store.put(connection, "session_ready", data=data, boot="b"))
    database.close()
    for theirs, ours in {
        "/etc/linkdesk/bridge.env": f"{tmp_path}/bridge.env",
        "/opt/linkdesk": str(ROOT),
        ".venv/bin/python": sys.executable,
    }.items():
        assert theirs in commands
        commands = commands.replace(theirs, ours)
    done = run_bash(f"set -e\n{commands}", environment)
    assert (done.returncode, done.stdout) == (0, "0 dead, 1 waiting\n"), done
