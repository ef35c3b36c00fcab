"""Process groups that outlive whoever started them: written down at start, ended whole later."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def record(pid_file: Path, pid: int) -> None:
    pid_file.write_text(str(pid))


def end_group(pid_file: Path) -> None:
    """Kill what is left of the process group in `pid_file`, if it still is one of ours."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        group = int(pid_file.read_text())
        pid_file.unlink(missing_ok=True)
        if _is_ours(group):
            _kill(group)


def _is_ours(group: int) -> bool:
    """Numbers are used again: what runs there now must run on this project's Python."""
    listing = subprocess.run(["ps", "-A", "-o", "pgid=,command="], capture_output=True, text=True).stdout  # noqa: S607
    lines = (line.split(None, 1) for line in listing.splitlines())
    return any(line[0] == str(group) and sys.executable in line[1] for line in lines if len(line) == 2)


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        for _ in range(50):  # until the last one is reaped and its port is free
            time.sleep(0.05)
            os.killpg(group, 0)
