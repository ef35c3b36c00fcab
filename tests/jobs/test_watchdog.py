"""A cluster that has stopped working is ended, and started again: real processes, killed as they would be.

Three lanes at once, for their starts cost more than what is tested: one worker each, kept by a loop as supervisor is.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from accounts.jobs import queue
from accounts.jobs.watchdog import QUESTION, Patience, Watchdog
from accounts.models import Pulse
from deploy.processes import end_group, members_of
from tests.support import ROOT
from tests.support.log_scan import SCAN
from tests.support.servers import environment

STUCK_AFTER = 6  # seconds here; 25 in use
HEALS_WITHIN = 60  # seconds, on a machine that may be busy


class Worker:
    """`manage.py worker` on one lane, started again whenever it ends."""

    def __init__(self, lane: str, folder: Path) -> None:
        self.lane, self.pid_file, self.log = lane, folder / f"{lane}.pid", folder / f"{lane}.log"
        self.ended_with: list[int] = []
        self.stopping = False
        self.thread = threading.Thread(target=self._keep, daemon=True)
        self.thread.start()

    def _keep(self) -> None:
        options = ["--lane", self.lane, "--ask-every", "1", "--stuck-after", str(STUCK_AFTER)]
        command = [sys.executable, "-m", "deploy.child", str(self.pid_file), sys.executable, "manage.py", "worker"]
        more = {"LINKDESK_LANES": "separate", "LINKDESK_WORKERS": "2"}
        with self.log.open("ab") as log:
            while not self.stopping:
                self.process = subprocess.Popen(
                    [*command, *options],
                    cwd=ROOT,
                    env=environment() | more,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                self.ended_with.append(self.process.wait())

    @property
    def main(self) -> int:
        return children(self.process.pid)[0]

    @property
    def sentinel(self) -> int:
        return children(self.main)[0]

    def is_up(self) -> bool:
        return Pulse.objects.filter(lane=self.lane, answered_at__isnull=False).exists()

    def wait_until_up(self) -> None:
        wait_for(self.is_up)

    def restarts_by(self, kill: Callable[[], None]) -> None:
        ends = len(self.ended_with)
        Pulse.objects.filter(lane=self.lane).update(answered_at=None)
        kill()
        wait_for(lambda: len(self.ended_with) > ends)
        assert self.ended_with[-1] != 0
        self.wait_until_up()
        self.runs_tasks()

    def runs_tasks(self) -> None:
        row = queue.put(QUESTION, key=self.lane)
        wait_for(lambda: not OrmQ.objects.filter(pk=row).exists())

    def stop(self) -> int:
        self.stopping = True
        self.process.terminate()
        self.thread.join(20)
        left = members(self.process.pid)
        end_group(self.pid_file)
        SCAN.read_file(self.log, f"the worker of {self.lane}")
        sys.stderr.write(self.log.read_text())
        assert not left
        return self.ended_with[-1]


def wait_for(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + HEALS_WITHIN
    while not holds():
        assert time.monotonic() < give_up, f"not within {HEALS_WITHIN} s"
        time.sleep(0.2)


def running(processes: list[psutil.Process]) -> list[int]:
    """In the order of their starts; one that has ended stays listed until somebody has waited for it."""
    return sorted(process.pid for process in processes if process.status() != psutil.STATUS_ZOMBIE)


def children(of: int) -> list[int]:
    return running(psutil.Process(of).children())


def members(of: int) -> list[int]:
    return running(members_of(of))


def tell(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


@pytest.fixture
def workers(transactional_db: None, tmp_path: Path) -> Iterator[dict[str, Worker]]:
    workers = {lane: Worker(lane, tmp_path) for lane in ("orders", "default", "low")}
    try:
        yield workers
    finally:
        assert [worker.stop() for worker in workers.values()] == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_whatever_is_killed_tasks_run_again(workers: dict[str, Worker]) -> None:
    killed, frozen, busy = workers["orders"], workers["default"], workers["low"]
    for worker in workers.values():
        worker.wait_until_up()
    # Both workers of a lane work for longer than a silence may last. Nobody takes that for a stuck cluster.
    for row in range(2):
        queue.put("time.sleep", 2 * STUCK_AFTER + row, key="low")
    # Workers that are killed while they wait may take the lock of the line with them.
    tell(children(killed.sentinel), signal.SIGKILL)
    killed.runs_tasks()
    # As much as hanging: they live, so the sentinel does not replace them.
    frozen.restarts_by(lambda: tell(children(frozen.sentinel), signal.SIGSTOP))
    wait_for(lambda: not OrmQ.objects.filter(key="low").exclude(lock__gt=timezone.now()).exists())
    busy.runs_tasks()
    assert busy.ended_with == []
    busy.restarts_by(lambda: os.kill(busy.main, signal.SIGKILL))
    busy.restarts_by(lambda: os.kill(busy.sentinel, signal.SIGKILL))
    # The watchdog itself leaves a cluster behind, which the next start ends.
    before = killed.process.pid
    killed.restarts_by(lambda: os.kill(before, signal.SIGKILL))
    assert members(before) == []


def test_a_stuck_cluster_is_replaced_within_the_minute_that_was_promised() -> None:
    """With the values in use: those above are quicker. A start takes 10 s on a slow machine."""
    patience = Patience()
    assert patience.stuck_after + patience.ask_every + patience.stop_within + 10 < 60


@pytest.mark.django_db(transaction=True)
def test_somebody_elses_bad_schedule_is_gone_before_a_cluster_begins() -> None:
    """One of them stops all schedules, and the cluster would be ended for it again and again."""
    Schedule.objects.create(name="by hand", func="os.getcwd", args="(1,")

    Watchdog("default", Patience())._wait_for_database()

    assert not Schedule.objects.filter(name="by hand").exists()
