"""`make run`: everything on one machine, kept alive by supervisor, ended by Ctrl-C.

Who else could be there: a second `make run` (refused by the lock), what a killed one has left behind (its
supervisor and process groups are ended first), and a copy with another LINKDESK_DATA_DIR (not ours to touch).
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from deploy.processes import end_group, record

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 60  # seconds
PROGRAMS = ("web", "worker", "bridge")


def main() -> int:
    data = Path(os.environ.get("LINKDESK_DATA_DIR") or ROOT / "var").resolve()
    ports = {"PORT": os.environ.get("PORT") or "8000", "BRIDGE_PORT": os.environ.get("BRIDGE_PORT") or "3001"}
    os.environ.update(ports, LINKDESK_DATA_DIR=str(data))
    for folder in ("run", "log", "bridge"):
        (data / folder).mkdir(parents=True, exist_ok=True)
    lock = _lock(data / "run" / "lock")
    if lock is None:
        print(f"Linkdesk runs already on {data}, see http://localhost:{ports['PORT']}/. End it with Ctrl-C there.")
        return 1
    _clear(data / "run")
    taken = [f"{name}={port}" for name, port in ports.items() if not _is_free(int(port))]
    if taken:
        print(f"Somebody else listens on {', '.join(taken)}. Choose others: make run PORT=8010 BRIDGE_PORT=3011")
        return 1
    return _serve(data, ports["PORT"])


def _lock(file: Path) -> IO[str] | None:
    """Take the lock, which is ours until we end, however we end. Returns None when another process has it."""
    handle = file.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return handle


def _clear(folder: Path) -> None:
    """End the leftovers, the supervisor first: it would restart the programs that we kill."""
    end_group(folder / "supervisord.pid")
    for name in PROGRAMS:
        end_group(folder / f"{name}.pid")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _serve(data: Path, port: str) -> int:
    greeting = _prepare()
    config = data / "run" / "supervisord.conf"
    config.touch(mode=0o600)
    config.write_text(configuration(data, port))
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)], cwd=ROOT, start_new_session=True
    )
    record(data / "run" / "supervisord.pid", supervisor.pid)
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a shell's background job ignores SIGINT
        signal.signal(ending, _interrupt)
    try:
        if _wait_until_ready(port, supervisor):
            print(f"{greeting}Logs are in {data / 'log'}. Ctrl-C stops everything.", flush=True)
        return supervisor.wait()
    except KeyboardInterrupt:
        print("\nStopping.", flush=True)
        supervisor.terminate()
        supervisor.wait(timeout=30)
        return 0
    finally:
        _clear(data / "run")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _prepare() -> str:
    """Return what the first steps say; an error goes to the terminal and ends `make run`."""
    done = subprocess.run([sys.executable, "-m", "deploy.prepare"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def _wait_until_ready(port: str, supervisor: subprocess.Popen[bytes]) -> bool:
    give_up = time.monotonic() + READY_WITHIN
    while time.monotonic() < give_up and supervisor.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/admin/login/", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    print("The web process does not answer. Its log says why.", flush=True)
    return False


def configuration(data: Path, port: str) -> str:
    """Return supervisord.conf: groups are killed whole, and a program that dies is restarted, without limit."""
    secrets = json.loads((data / "demo.json").read_text())
    bridge = {
        "HMAC_SECRET": secrets["hmac_secret"],
        "API_KEY": secrets["api_key"],
        "LINKDESK_URL": f"http://127.0.0.1:{port}",
        "BRIDGE_DATA_DIR": str(data / "bridge"),
    }
    programs = [
        _program("web", data, f"-m deploy.web -b 127.0.0.1 -p {port}"),
        _program("worker", data, "manage.py worker"),
        _program("bridge", data, "-m bridge serve", bridge),
    ]
    own = {"logfile": data / "log" / "supervisord.log", "pidfile": data / "run" / "supervisord.own", "silent": "true"}
    head = "[supervisord]\n" + "".join(f"{key}={value}\n" for key, value in own.items())
    return head.replace("%", "%%") + "".join(programs)


def _program(name: str, data: Path, command: str, environment: dict[str, str] | None = None) -> str:
    variables = ",".join(f'{key}="{value}"' for key, value in (environment or {}).items())
    pid_file = data / "run" / f"{name}.pid"
    # The worker ends its cluster itself, in a second; if both get the signal, the cluster hangs until it is killed.
    text = f"""
[program:{name}]
command="{sys.executable}" -m deploy.child "{pid_file}" "{sys.executable}" {command}
directory={ROOT}
environment={variables}
autorestart=true
startsecs=1
startretries=1000000
stopasgroup={"false" if name == "worker" else "true"}
killasgroup=true
stopwaitsecs=10
redirect_stderr=true
stdout_logfile={data / "log" / name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=1
"""
    return text.replace("%", "%%")


if __name__ == "__main__":
    sys.exit(main())
