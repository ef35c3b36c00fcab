"""The sessions that should run are stored on disk. A row lives from the start of a session to its DELETE or expiry."""

import json
import sqlite3
from dataclasses import dataclass, field

from bridge.clock import iso_now

Id = int | str


@dataclass
class Session:
    """The upper half of the fields is stored; the lower half belongs to this run of the client."""

    session_id: str
    workspace_id: Id
    account_id: Id
    options: dict[str, object] = field(default_factory=dict)
    status: str = "qr_scanning"
    phone_number: str | None = None
    logged_in: bool = False
    created_at: str = field(default_factory=iso_now)

    qr_code: str | None = field(default=None, repr=False)
    qr_text: str | None = field(default=None, repr=False)
    qr_count: int = 0
    qr_generated_at: int | None = None
    authenticated_at: str | None = None
    connected_at: str | None = None
    last_activity: str = field(default_factory=iso_now)
    platform: str | None = None
    extraction_method: str | None = None
    touched: int = 0  # when it was last started or sent an event, by the registry's clock
    waits: bool = False  # whether it waits for its client, after a start of the bridge


def save(connection: sqlite3.Connection, session: Session) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO sessions (session_id, workspace_id, account_id, options, status,"
        " phone_number, logged_in, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            session.session_id,
            json.dumps(session.workspace_id),
            json.dumps(session.account_id),
            json.dumps(session.options),
            session.status,
            session.phone_number,
            session.logged_in,
            session.created_at,
        ),
    )


def remove(connection: sqlite3.Connection, session_id: str) -> None:
    connection.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))


def load_all(connection: sqlite3.Connection) -> list[Session]:
    return [_from_row(row) for row in connection.execute("SELECT * FROM sessions ORDER BY created_at")]


def _from_row(row: sqlite3.Row) -> Session:
    return Session(
        session_id=row["session_id"],
        workspace_id=json.loads(row["workspace_id"]),
        account_id=json.loads(row["account_id"]),
        options=json.loads(row["options"]),
        status=row["status"],
        phone_number=row["phone_number"],
        logged_in=bool(row["logged_in"]),
        created_at=row["created_at"],
    )
