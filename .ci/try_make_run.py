"""`make run`, here and now: it prints its addresses, the linking page and the admin answer, Ctrl-C ends it."""

import os
import signal
import socket
import subprocess
import urllib.request


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def main() -> None:
    command = ["make", "run", f"PORT={free_port()}", f"BRIDGE_PORT={free_port()}"]
    # A group of its own: Ctrl-C in a terminal reaches make and all that it has started.
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert run.stdout
        printed = {}
        for line in run.stdout:
            name, _, value = line.partition(": ")
            printed[name] = value.split()[:1]
            if line.startswith("Logs are in"):
                break
        for page in ("Linking page", "Admin"):
            (url,) = printed[page]
            with urllib.request.urlopen(url, timeout=30) as answer:
                print(f"make run: {page} answers {answer.status}")
    finally:
        os.killpg(run.pid, signal.SIGINT)
        print(f"make run: ended with {run.wait(60)} after Ctrl-C")


if __name__ == "__main__":
    main()
