"""Runs a job of `accounts.schedules` under its lease, which also keeps the result: one row for each job.

Who else could be there: the same job in another process (it does nothing then), one that was killed (its lease ends
by itself), and, after a jam, several tasks for one job (those that were due before the last run do nothing). So a job
that goes on in pieces stays one chain, though the schedule starts another: the lease tells the second that it is late.
"""

from dataclasses import asdict, is_dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.module_loading import import_string

from accounts.jobs import leases, queue
from accounts.jobs.schedules import JOBS, Job

LEASE = 60  # seconds; the queue ends a task at 45 (config/settings.py)


class Unfinished(dict[str, int]):
    """The counts of a job that has more to do: its next piece is queued at once."""


def run(name: str, due: str = "") -> str:
    """Do the job `name` and say in words what came of it. `due`: when it should have run, in ISO 8601."""
    job = {job.name: job for job in JOBS}[name]
    holder = leases.take(lease_of(name), seconds=LEASE, due=datetime.fromisoformat(due) if due else None)
    if holder is None:
        return "has run since, or runs elsewhere"
    words = "ended by the queue"  # its time-out is no Exception
    try:
        result = import_string(job.function)()
        words = _in_words(result)
    except Exception as error:
        words = f"failed: {type(error).__name__}"  # its text may hold a phone number
        raise
    finally:
        leases.release(lease_of(name), holder, result=words)
    if isinstance(result, Unfinished):
        _go_on(job)
    return words


def _go_on(job: Job) -> None:
    """Queue the next piece, after the release. If the process dies just before, the schedule goes on in its time."""
    queue.put("accounts.jobs.run", job.name, timezone.now().isoformat(), key=queue.key_of(job.lane))


def lease_of(name: str) -> str:
    return f"job:{name}"


def _in_words(result: object) -> str:
    """The result of a job in words, with its counts."""
    if is_dataclass(result) and not isinstance(result, type):
        result = asdict(result)
    if isinstance(result, dict):
        return ", ".join(f"{name} {count}" for name, count in result.items())
    return "done" if result is None else str(result)
