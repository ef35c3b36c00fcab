"""`make run`, here and now: it prints its addresses, the linking page and the admin answer, Ctrl-C ends it."""

import os
import signal
import socket
import subprocess
import threading
import urllib.request

WITHIN = 300  # seconds, installation included
PAGES = ("Linking page", "Admin")


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def addresses(run: "subprocess.Popen[str]") -> list[str]:
    """Give the addresses of PAGES, once it says that all is up. Raises KeyError where it ends before."""
    assert run.stdout
    printed = {}
    for line in run.stdout:
        name, _, value = line.partition(": ")
        print(f"make run: {name.rstrip()}")  # without the addresses, of which one is a secret
        printed[name] = value
        if line.startswith("Logs are in"):
            break
    return [printed[page].split()[0] for page in PAGES]


def main() -> None:
    command = ["make", "run", f"PORT={free_port()}", f"BRIDGE_PORT={free_port()}"]
    # A group of its own: Ctrl-C in a terminal reaches make and all that it has started.
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    deadline = threading.Timer(WITHIN, os.killpg, (run.pid, signal.SIGKILL))
    deadline.start()
    try:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for url in addresses(run):
            with direct.open(url, timeout=30) as answer:
                assert answer.status == 200, url
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(60) in {0, 2, -signal.SIGINT}, "make says 0, or that it was interrupted"
        print("make run: both pages answer, Ctrl-C ends it")
    finally:
        deadline.cancel()
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
