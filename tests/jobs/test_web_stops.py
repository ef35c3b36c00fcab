"""A web process that is told to stop ends within its grace, whatever its threads wait for, and has files to spare."""

import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress

import httpx
import psutil
import pytest

from deploy import web
from deploy.limits import OPEN_FILES
from tests.support import ROOT
from tests.support.servers import environment, free_port

ROUNDS = 4  # each start costs seconds
ENDS_WITHIN = web.GRACE + 4  # seconds; a shared machine may be busy

# Its thread waits for good, as one does that has handed its work to an event loop that is gone.
STUCK = """
import threading
from deploy import web
threading.Thread(target=threading.Event().wait).start()
web._end_within_grace()
"""


def test_a_thread_that_waits_for_good_keeps_no_process_alive() -> None:
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", STUCK], cwd=ROOT, timeout=ENDS_WITHIN).returncode == 0
    assert time.monotonic() - start > web.GRACE - 0.5


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_busy_server_ends_when_it_is_told() -> None:
    took = [stop_a_busy_one() for _ in range(ROUNDS)]
    assert max(took) < ENDS_WITHIN, took


def stop_a_busy_one() -> float:
    port, over = free_port(), threading.Event()
    url = f"http://127.0.0.1:{port}/admin/login/"
    command = [sys.executable, "-m", "deploy.web", "-b", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    senders = [threading.Thread(target=ask_again, args=(url, over)) for _ in range(8)]
    try:
        wait_for(url)
        assert psutil.Process(server.pid).rlimit(psutil.RLIMIT_NOFILE)[0] >= wanted()
        for sender in senders:
            sender.start()
        time.sleep(0.5)
        server.terminate()
        start = time.monotonic()
        server.wait(ENDS_WITHIN)
        return time.monotonic() - start
    finally:
        over.set()
        server.kill()
        server.wait()
        for sender in senders:
            if sender.ident:
                sender.join()


def wanted() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)


def wait_for(url: str) -> None:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        with suppress(httpx.TransportError):
            httpx.get(url, timeout=5)
            return
        time.sleep(0.1)
    raise AssertionError("no answer")


def ask_again(url: str, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(httpx.TransportError):
            httpx.get(url, timeout=5)
        over.wait(0.01)
