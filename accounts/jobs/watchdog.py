"""Keeps one cluster of the queue working: the cluster is its child, in its process group, and ends with it.

A cluster can live and do nothing: a worker that is killed while it waits may keep the lock of the task queue, and the
sentinel that would replace it may hang. So we put a task into its lane that does nothing; any task that begins or ends
is an answer. If none comes, the whole group is killed, with us in it: the service manager starts us again.

Who else could be there: the cluster of the same lane on another machine, which may answer in its place.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from django.db import Error, connection
from django.db.models import Min
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from accounts.jobs import progress, queue, schedules
from accounts.models import Pulse

log = logging.getLogger(__name__)

STEP = 0.25  # seconds between two looks at signals and the child
QUESTION = "accounts.jobs.watchdog.answer"


@dataclass(frozen=True)
class Patience:
    """Time limits, in seconds."""

    ask_every: float = 5
    stuck_after: float = 25  # so that tasks run again within 60 s in all
    overdue_after: float = 75  # the sentinel looks at the schedules every 30 s and a bit
    stop_within: float = 8


def answer() -> None:
    """The task that is put into the lane as a question. That it runs is the answer."""


class Watchdog:
    def __init__(self, key: str, patience: Patience) -> None:
        self.key, self.patience = key, patience
        self.progress = progress.Progress()
        self.stopping = False
        self.question: int | None = None  # its row in the queue, until it is done
        self.asked_at = self.heard_at = self.fair_since = time.monotonic()

    def run(self, command: list[str]) -> int:
        """Start the cluster by `command` and stay until told to stop. Gives the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        if os.getpgrp() != os.getpid():
            os.setpgid(0, 0)  # we kill our group: it must hold nobody else
        self._wait_for_database()
        if self.stopping:
            return 0
        child = self._start(command)
        while not self.stopping:
            self._sleep(self.patience.ask_every, unless_ended=child)
            if self.stopping:
                break
            trouble = self._look() if child.poll() is None else f"it has ended with {child.returncode}"
            if trouble:
                self._end(trouble)
        return self._finish(child)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        pipe = self.progress.theirs
        environment = os.environ | {"Q_CLUSTER_NAME": self.key, progress.VARIABLE: str(pipe)}
        child = subprocess.Popen(command, env=environment, pass_fds=[pipe])  # noqa: S603  # our own command
        self.heard_at = self.fair_since = time.monotonic()
        return child

    def _sleep(self, seconds: float, *, unless_ended: "subprocess.Popen[bytes] | None" = None) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stopping:
            if unless_ended is not None and unless_ended.poll() is not None:
                return
            time.sleep(STEP)

    def _wait_for_database(self) -> None:
        """Wait until it answers, then free the tasks that a dead cluster had taken.

        The schedules are synchronised as well, as one foreign row that is bad stops them all.
        """
        while not self.stopping:
            try:
                schedules.synchronise()
                freed = queue.free(self.key)
                Pulse.objects.get_or_create(lane=self.key)
            except Error as error:
                log.warning("lane %s: no database yet (%s)", self.key, type(error).__name__)
                self._sleep(self.patience.ask_every)
            else:
                log.info("lane %s: starting; %s tasks of a dead cluster are due again", self.key, freed)
                return
            finally:
                connection.close()

    def _look(self) -> str:
        """Says what is wrong with the cluster. It is empty when nothing is, or when the database cannot tell."""
        try:
            self._listen()
            return self._unanswered() or self._overdue()
        except Error as error:
            self.fair_since = time.monotonic()  # without a database no cluster can work
            log.warning("lane %s: the database does not answer (%s)", self.key, type(error).__name__)
            return ""
        finally:
            connection.close()  # one that idles may be dead without a word

    def _listen(self) -> None:
        """Note whether the cluster was heard, and put a new question if none is open."""
        now = time.monotonic()
        answered = self.question is not None and not OrmQ.objects.filter(pk=self.question).exists()
        if answered:
            self.question = None
        if self.progress.heard() or answered:
            self.heard_at = now
            Pulse.objects.filter(lane=self.key).update(answered_at=timezone.now())
        if self.question is None:
            self.question = queue.put(QUESTION, key=self.key)
            self.asked_at = now
            Pulse.objects.filter(lane=self.key).update(asked_at=timezone.now())

    def _unanswered(self) -> str:
        silent = time.monotonic() - max(self.asked_at, self.heard_at, self.fair_since)
        stuck = self.question is not None and silent > self.patience.stuck_after
        return f"nobody has answered for {silent:.0f} s" if stuck else ""

    def _overdue(self) -> str:
        """Find an overdue schedule: then the sentinel is gone or hangs, so no worker is replaced, either."""
        mine = Schedule.objects.filter(cluster=self.key).exclude(repeats=0)
        due = mine.aggregate(first=Min("next_run"))["first"]
        late = (timezone.now() - due).total_seconds() if due else 0
        late = min(late, time.monotonic() - self.fair_since)
        return f"a schedule is overdue by {late:.0f} s" if late > self.patience.overdue_after else ""

    def _withdraw(self) -> None:
        """Delete the open question: questions must not pile up while nobody answers."""
        with suppress(Error):
            OrmQ.objects.filter(pk=self.question).delete()

    def _end(self, trouble: str) -> None:
        log.critical("lane %s: the cluster is ended, to be started again: %s", self.key, trouble)
        self._withdraw()
        os.killpg(0, signal.SIGKILL)
        sys.exit(1)  # nobody can kill the first process of a container

    def _finish(self, child: "subprocess.Popen[bytes]") -> int:
        """Stop the cluster by its main process alone: it would hang if the whole group got the signal."""
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(self.patience.stop_within)
            self._withdraw()
            return 0
        log.warning("lane %s: the cluster did not stop in time", self.key)
        self._withdraw()
        os.killpg(0, signal.SIGKILL)
        return 1
