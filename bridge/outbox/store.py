"""Webhooks are stored on disk before anything is sent, and removed when the portal has taken them.

Every function works on a connection inside the caller's transaction.
"""

import json
import sqlite3
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KEEP_SECONDS = 24 * 60 * 60  # contract 5.1

# A code replaces the one before it, which the phone no longer accepts; and a portal that was away for an hour
# needs the newest code, not 180 stale ones first. Dead letters with codes are removed too: sent again by hand,
# they would put a code on the page that nobody can scan.
REPLACING = frozenset({"qr_code_generated", "pairing_code_generated"})


@dataclass(frozen=True)
class Letter:
    """One webhook. `sequence` and `boot` say when it happened and stay the same over retries and restarts."""

    sequence: int
    event_id: str
    boot: str
    session_id: str
    event: str
    body: bytes
    created_at: float
    give_up_at: float
    next_try_at: float
    attempts: int
    last_error: str


COLUMNS = "id, event_id, boot, session_id, event, body, created_at, give_up_at, next_try_at, attempts, last_error"


def compact_json(value: object) -> bytes:
    """Encode as JSON.stringify does: no spaces, raw UTF-8, a lone surrogate escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def put(connection: sqlite3.Connection, event: str, *, data: Mapping[str, object], boot: str) -> None:
    session_id = str(data["session_id"])
    if event in REPLACING:
        drop(connection, session_id, event=event)
    now = time.time()
    body = compact_json({"event": event, "data": data})
    connection.execute(
        "INSERT INTO outbox (event_id, boot, session_id, event, body, created_at, give_up_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (uuid.uuid4().hex, boot, session_id, event, body, now, now + KEEP_SECONDS),
    )


def drop_codes(connection: sqlite3.Connection, session_id: str) -> None:
    """Delete the codes of a stopped session, which are useless; its other events are still true and stay."""
    for event in REPLACING:
        drop(connection, session_id, event=event)


def drop(connection: sqlite3.Connection, session_id: str, *, event: str) -> None:
    for state in ("IS NULL", "IS NOT NULL"):  # one index each
        connection.execute(
            f"DELETE FROM outbox WHERE session_id = ? AND event = ? AND dead_at {state}",  # noqa: S608  # text of ours alone
            (session_id, event),
        )


def waiting_sessions(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT DISTINCT session_id FROM outbox WHERE dead_at IS NULL")
    return [row[0] for row in rows]


def head(connection: sqlite3.Connection, session_id: str) -> Letter | None:
    """Return the oldest waiting letter, the only one of its session that may be sent."""
    row = connection.execute(
        f"SELECT {COLUMNS} FROM outbox WHERE session_id = ? AND dead_at IS NULL ORDER BY id LIMIT 1",  # noqa: S608  # text of ours alone
        (session_id,),
    ).fetchone()
    return Letter(*row) if row else None


def delivered(connection: sqlite3.Connection, letter: Letter) -> None:
    connection.execute("DELETE FROM outbox WHERE id = ?", (letter.sequence,))


def try_later(connection: sqlite3.Connection, letter: Letter, *, at: float, error: str) -> None:
    connection.execute(
        "UPDATE outbox SET attempts = attempts + 1, next_try_at = ?, last_error = ? WHERE id = ?",
        (at, error, letter.sequence),
    )


def bury(connection: sqlite3.Connection, letter: Letter, *, error: str) -> None:
    connection.execute(
        "UPDATE outbox SET attempts = attempts + 1, dead_at = ?, last_error = ? WHERE id = ?",
        (time.time(), error, letter.sequence),
    )


def dead_letters(connection: sqlite3.Connection) -> list[Letter]:
    rows = connection.execute(f"SELECT {COLUMNS} FROM outbox WHERE dead_at IS NOT NULL ORDER BY id")  # noqa: S608  # text of ours alone
    return [Letter(*row) for row in rows]


def revive(connection: sqlite3.Connection, sequences: Sequence[int] | None = None) -> int:
    """Let dead letters wait again, for another 24 h, at their old place in the order; None means all of them."""
    if sequences is None:
        sequences = [letter.sequence for letter in dead_letters(connection)]
    give_up_at = time.time() + KEEP_SECONDS
    return sum(
        connection.execute(
            "UPDATE outbox SET dead_at = NULL, attempts = 0, next_try_at = 0, give_up_at = ?"
            " WHERE id = ? AND dead_at IS NOT NULL",
            (give_up_at, sequence),
        ).rowcount
        for sequence in sequences
    )


def drop_dead(connection: sqlite3.Connection, sequence: int) -> Letter | None:
    """Delete a dead letter for good and return it; None when there is none with this number."""
    query = f"DELETE FROM outbox WHERE id = ? AND dead_at IS NOT NULL RETURNING {COLUMNS}"  # noqa: S608  # text of ours alone
    row = connection.execute(query, (sequence,)).fetchone()
    return Letter(*row) if row else None


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    # Two counts use two small indexes; a scan of the table would read every body.
    queries = {
        "waiting": "SELECT count(*) FROM outbox WHERE dead_at IS NULL",
        "dead": "SELECT count(*) FROM outbox WHERE dead_at IS NOT NULL",
    }
    return {name: connection.execute(query).fetchone()[0] for name, query in queries.items()}


def due(connection: sqlite3.Connection, before: float) -> int:
    """Count the sessions whose next letter is due by then. A letter that waits for an absent portal is not due."""
    query = (
        "SELECT count(*) FROM (SELECT next_try_at, min(id) FROM outbox WHERE dead_at IS NULL GROUP BY session_id)"
        " WHERE next_try_at <= ?"
    )
    return int(connection.execute(query, (before,)).fetchone()[0])
