"""One SQLite file holds the outbox and the sessions, so that a change of state and its event are one transaction:
otherwise a kill in between would leave a login without its event, or the reverse."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from bridge.errors import ConfigurationError

Result = TypeVar("Result")

FILE_NAME = "bridge.sqlite3"

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: it is also X-Bridge-Sequence
    event_id TEXT NOT NULL UNIQUE,
    boot TEXT NOT NULL,
    session_id TEXT NOT NULL,
    event TEXT NOT NULL,
    body BLOB NOT NULL,
    created_at REAL NOT NULL,
    give_up_at REAL NOT NULL,
    next_try_at REAL NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    dead_at REAL,
    last_error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (session_id, id) WHERE dead_at IS NULL;
CREATE INDEX IF NOT EXISTS outbox_dead ON outbox (session_id, id) WHERE dead_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS sessions (
    session_id TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL,  -- JSON: "9" and 9 are echoed as they came
    account_id TEXT NOT NULL,    -- JSON
    options TEXT NOT NULL,       -- JSON object
    status TEXT NOT NULL,
    phone_number TEXT,
    logged_in INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
"""


class Database:
    def __init__(self, data_dir: Path) -> None:
        path = data_dir / FILE_NAME
        try:
            # `timeout` 20: the outbox commands write to the same file while the bridge runs.
            self._connection = sqlite3.connect(path, timeout=20, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            # FULL: a stored event must survive a power cut, not only a kill.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise ConfigurationError(f"cannot open {path}: {error}") from error
        self._connection.row_factory = sqlite3.Row
        # With one thread writes keep their order, and fsync never blocks the event loop.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")

    def transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._connection)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return result

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in one transaction, in the database thread. It is committed when this returns."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.transact, work)

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._connection.close()


def claim_data_dir(data_dir: Path) -> IO[str]:
    """Lock the directory until the returned file is closed or the process ends, even by a kill.

    Two bridges over one directory would run one login twice, and WhatsApp logs such a device out.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data_dir / "lock").open("a+")
    except OSError as error:
        raise ConfigurationError(f"cannot use {data_dir}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise ConfigurationError(f"another bridge (process {owner}) uses {data_dir}") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
