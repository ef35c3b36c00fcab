"""`make run` on a free port: python -m benchmarks.footprint [seconds] (default 300).

It says after how many seconds the first page came, and after so many more how much memory all its processes hold
together: PSS, which counts what several share once.
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from tests.support.servers import free_port

LATER = float(sys.argv[1]) if len(sys.argv) > 1 else 300
GIVE_UP = 120  # seconds
OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "FIELD_ENCRYPTION_KEYS")  # `make run` makes its own


def measure(data: Path) -> None:
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if key not in OURS}
    environment |= {"LINKDESK_DATA_DIR": str(data), "PORT": str(port), "BRIDGE_PORT": str(free_port())}
    start = time.monotonic()
    run = subprocess.Popen([sys.executable, "-m", "deploy.run"], env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/admin/login/", run)
        print(f"first page after {time.monotonic() - start:.1f} s")
        time.sleep(LATER)
        show(psutil.Process(run.pid))
    finally:
        run.terminate()
        run.wait(60)


def wait_for(url: str, run: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + GIVE_UP
    while time.monotonic() < give_up and run.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("make run does not answer")


def show(root: psutil.Process) -> None:
    everyone = [root, *root.children(recursive=True)]
    held = [(process.memory_full_info().pss / 2**20, " ".join(process.cmdline()[1:6])) for process in everyone]
    for size, name in sorted(held, reverse=True):
        print(f"{size:>7.1f} MiB  {name[-90:]}")
    print(f"{sum(size for size, _ in held):>7.1f} MiB in {len(held)} processes after {LATER:.0f} s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder))
