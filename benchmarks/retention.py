"""Deleting old messages beside a writer: python -m benchmarks.retention [thousands of rows] (default 200).

It makes a test database, measures a writer alone and beside the deletion in turns, and says how long 5 million rows
would take at the rate it saw. The writer inserts one message per commit, on a connection of its own.
"""

import sys
import threading
import time
from datetime import timedelta
from typing import Any

from benchmarks.measuring import on_a_test_database

ROWS = 1_000 * (int(sys.argv[1]) if len(sys.argv) > 1 else 200)
ALONE = 5.0  # seconds of the writer without deletion, before and after
GOAL, WITHIN = 5_000_000, 45 * 60


class Writer(threading.Thread):
    """Inserts young messages until it is told to stop, and counts them."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session, self.written, self.over = session, 0, threading.Event()

    def run(self) -> None:
        from django.db import connection

        from accounts.models import Message

        while not self.over.is_set():
            name = f"young-{time.monotonic_ns()}"
            Message.objects.create(session=self.session, message_id=name, body="x" * 200)
            self.written += 1
        connection.close()

    def rate(self, seconds: float) -> float:
        before = self.written
        time.sleep(seconds)
        return (self.written - before) / seconds


def measure() -> None:
    session = fill()
    writer = Writer(session)
    writer.start()
    try:
        writer.rate(1)
        alone = writer.rate(ALONE)
        deleted, taken, written = delete(writer)
        alone = (alone + writer.rate(ALONE)) / 2
    finally:
        writer.over.set()
        writer.join()
    pace = deleted / taken
    print(f"{deleted} rows in {taken:.1f} s, {pace:.0f} a second: 5 million in {GOAL / pace / 60:.0f} min, goal 45")
    print(f"writer: {alone:.0f} a second alone, {written / taken:.0f} beside it, ratio {written / taken / alone:.2f}")


def delete(writer: Writer) -> tuple[int, float, int]:
    """All pieces, one after the other. Gives rows, seconds, and what the writer wrote meanwhile."""
    from accounts.housekeeping import retention
    from accounts.jobs.running import Unfinished

    deleted, start, before = 0, time.monotonic(), writer.written
    while True:
        piece = retention.run()
        deleted += piece["messages"]
        if not isinstance(piece, Unfinished):
            return deleted, time.monotonic() - start, writer.written - before
        time.sleep(0.2)  # the queue looks for the next piece that often


def fill() -> Any:
    from django.utils import timezone

    from accounts.models import Account, Bridge, LinkSession, Message, Workspace

    workspace = Workspace.objects.create(name="Large")
    bridge = Bridge.objects.create(name="Large", url="http://127.0.0.1:9")
    account = Account.objects.create(workspace=workspace, phone_number="6281100000000")
    session = LinkSession.objects.create(account=account, bridge=bridge, session_id="webjs_large")
    old = timezone.now() - timedelta(days=4_000)
    for start in range(0, ROWS, 5_000):
        Message.objects.bulk_create(
            Message(session=session, message_id=f"old-{number}", body="x" * 200, created_at=old)
            for number in range(start, start + 5_000)
        )
    return session


if __name__ == "__main__":
    on_a_test_database(measure)
