"""Process groups that may outlive their parent: their numbers are written down at start, to end them whole later."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil


def record(pid_file: Path, pid: int) -> None:
    pid_file.write_text(str(pid))


def end_group(pid_file: Path) -> None:
    """Kill the rest of the process group in `pid_file`, if it still is one of ours."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        group = int(pid_file.read_text())
        pid_file.unlink(missing_ok=True)
        if _is_ours(group):
            _kill(group)


def _is_ours(group: int) -> bool:
    """Whether the group runs on this project's Python: process numbers are used again by other programs."""
    return any(sys.executable in " ".join(process.info["cmdline"] or []) for process in members_of(group))


def members_of(group: int) -> list[psutil.Process]:
    """Return the processes of a group, including those that have ended and were not waited for."""
    return [process for process in psutil.process_iter(["cmdline"]) if _group_of(process.pid) == group]


def _group_of(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        return os.getpgid(pid)
    return None


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        for _ in range(50):  # until the last one is reaped and its port is free
            time.sleep(0.05)
            os.killpg(group, 0)
