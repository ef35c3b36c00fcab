"""Messages and acks of many requests are stored in one transaction and a handful of statements.

Nothing is believed that was not read in this very batch: whose a session is, whether it is open, what its workspace
keeps. Who else could be there: the same of another process, and Django's way, which writes the same rows one by one.
All of them insert what is new, and raise an ack only where it is lower, so that none needs to know of the others.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.db import DatabaseError, DataError, IntegrityError, OperationalError, connection
from django.db.models import Case, Q, Value, When

from accounts.bridges import presence
from accounts.db.transactions import atomically
from accounts.models import Message
from accounts.pairing.bridge_events import Outcome
from webhooks import rate_limits
from webhooks.door.arrivals import Arrival
from webhooks.events.messages import OPTIONAL, columns

log = logging.getLogger(__name__)

Key = tuple[int, str]  # a session's primary key and a message's id
TABLE = Message._meta.db_table
COLUMNS = {str(each.column): each.get_default for each in Message._meta.concrete_fields if not each.primary_key}
SESSIONS = """
    SELECT session.session_id, session.id, session.bridge_id, session.ended_at, workspace.id,
        workspace.messages_per_minute, workspace.keeps_statuses, workspace.keeps_newsletters, bridge.version_2_since
    FROM whatsapp_sessions session
    JOIN whatsapp_accounts account ON account.id = session.account_id
    JOIN accounts_workspace workspace ON workspace.id = account.workspace_id
    JOIN accounts_bridge bridge ON bridge.id = session.bridge_id
    WHERE session.session_id IN ({})
"""
# Errors of the data, as MariaDB numbers them: out of range, no default, a character that the column cannot hold, too
# long. mysqlclient raises some of them as OperationalError.
OF_THE_DATA = {1264, 1364, 1366, 1406}


class Session(NamedTuple):
    """A link session as this batch has read it, in the order of `SESSIONS`."""

    pk: int
    bridge_id: int
    ended_at: Any
    workspace_id: int
    messages_per_minute: int | None
    keeps_statuses: bool
    keeps_newsletters: bool
    version_2_since: Any

    def takes(self, arrival: Arrival) -> bool:
        """Whether the event is from the owner of an open session, signed as this bridge signs."""
        is_owner = self.bridge_id == arrival.bridge_id and self.ended_at is None
        return is_owner and arrival.by_version_2 == (self.version_2_since is not None)

    def leaves_out(self, chat: str) -> bool:
        return chat in OPTIONAL and not getattr(self, OPTIONAL[chat])


@dataclass(slots=True)
class Row:
    """A message's row as it will be."""

    is_new: bool = True
    delivered: bool = False
    ack_level: int | None = None
    values: dict[str, Any] = field(default_factory=dict)


def apply(arrivals: Sequence[Arrival]) -> None:
    """Store what can be stored, and note the answer at each. One without an answer is left for Django."""
    sessions = _sessions({arrival.session_id for arrival in arrivals})
    taken = [a for a in arrivals if a.session_id in sessions and sessions[a.session_id].takes(a)]
    for bridge_id in {arrival.bridge_id for arrival in taken}:
        presence.hear(bridge_id)
    _store([(arrival, sessions[arrival.session_id]) for arrival in _charged(taken, sessions)])


def _sessions(ids: set[str]) -> dict[str, Session]:
    """In SQL of its own: to build this query takes Django longer than the database to answer it."""
    with connection.cursor() as cursor:
        cursor.execute(SESSIONS.format(_marks(ids)), list(ids))
        return {session_id: Session(*columns) for session_id, *columns in cursor.fetchall()}


def _charged(taken: Sequence[Arrival], sessions: dict[str, Session]) -> list[Arrival]:
    """Take them from the budgets of their workspaces. Acks are refused before messages, which nobody can read again."""
    of_workspace = defaultdict(list)
    for arrival in taken:
        of_workspace[sessions[arrival.session_id].workspace_id].append(arrival)
    refused: set[Arrival] = set()
    for workspace_id, mine in of_workspace.items():
        mine.sort(key=lambda arrival: arrival.is_ack)  # stable: else in their order
        own = sessions[mine[0].session_id].messages_per_minute
        passed, refusal = rate_limits.charge_messages(workspace_id, own, len(mine))
        for arrival in mine[passed:]:
            arrival.answer = refusal
        for arrival in mine[:passed]:
            arrival.is_charged = True
        refused.update(mine[passed:])
        rate_limits.count_refused(workspace_id, own, sum(not arrival.may_wait for arrival in mine[passed:]))
    return [arrival for arrival in taken if arrival not in refused]


def _store(pairs: Sequence[tuple[Arrival, Session]]) -> None:
    """Store all at once. Where one of them has an error in its data, the halves are stored for themselves, down to that
    one, which is left for Django; so are all where the database is in trouble."""
    if not pairs:
        return
    try:
        outcomes = _write(pairs)
    except DatabaseError as error:
        if _is_of_the_data(error) and len(pairs) > 1:
            middle = len(pairs) // 2
            _store(pairs[:middle])
            _store(pairs[middle:])
        else:
            log.warning("%s messages are stored one by one: %s", len(pairs), type(error).__name__)
        return
    for (arrival, _), outcome in zip(pairs, outcomes, strict=True):
        arrival.answer = None if outcome is None else str(outcome) or "applied"


def _is_of_the_data(error: DatabaseError) -> bool:
    code = error.args[0] if error.args else None
    return isinstance(error, IntegrityError | DataError) or (
        isinstance(error, OperationalError) and code in OF_THE_DATA
    )


@atomically
def _write(pairs: Sequence[tuple[Arrival, Session]]) -> list[Outcome | None]:
    rows = _known_rows({(session.pk, arrival.message_id) for arrival, session in pairs})
    before = {key: row.ack_level for key, row in rows.items()}
    outcomes = [_take(rows, arrival, session) for arrival, session in pairs]
    _insert({key: row for key, row in rows.items() if row.is_new})
    _raise_acks({key: row.ack_level for key, row in rows.items() if not row.is_new and row.ack_level != before[key]})
    return outcomes


def _known_rows(keys: set[Key]) -> dict[Key, Row]:
    """By exactly these keys: two lists, of sessions and of ids, would be looked up in all their combinations."""
    of_session: defaultdict[int, list[str]] = defaultdict(list)
    for session, message_id in keys:
        of_session[session].append(message_id)
    wanted = " OR ".join(f"(session_id = %s AND message_id IN ({_marks(ids)}))" for ids in of_session.values())
    statement = f"SELECT session_id, message_id, delivered, ack_level FROM {TABLE} WHERE {wanted}"  # noqa: S608  # marks
    values: list[Any] = [value for session, ids in of_session.items() for value in (session, *ids)]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return {(row[0], row[1]): Row(False, bool(row[2]), row[3]) for row in cursor.fetchall()}


def _marks(values: Sized) -> str:
    return ", ".join(["%s"] * len(values))


def _take(rows: dict[Key, Row], arrival: Arrival, session: Session) -> Outcome | None:
    """Let the event change the row that it is about, as webhooks/events/messages.py does, and say what became of it."""
    key = (session.pk, arrival.message_id)
    if arrival.is_ack:
        return _take_ack(rows, key, arrival.level, session)
    values = columns(arrival.fields["message"])
    if session.leaves_out(values["chat_type"]):
        return Outcome.LEFT_OUT
    row = rows.get(key)
    if row is None:
        row = rows[key] = Row()
    elif row.delivered:
        return Outcome.NO_CHANGE
    elif not row.is_new:
        return None  # its ack or its edit was here before: only Django's way knows which of them keeps the text
    row.delivered, row.values = True, values
    return Outcome.APPLIED


def _take_ack(rows: dict[Key, Row], key: Key, level: int | None, session: Session) -> Outcome | None:
    if session.leaves_out(Message.chat_of(key[1])):
        return Outcome.LEFT_OUT
    if level is None:
        return Outcome.NO_CHANGE
    row = rows.get(key)
    if row is None:
        row = rows[key] = Row(values={"from_me": True})
    elif row.ack_level is not None and row.ack_level >= level:
        return Outcome.NO_CHANGE
    row.ack_level = level
    return Outcome.APPLIED


def _insert(new: dict[Key, Row]) -> None:
    """In the order of their keys: two processes that insert the same rows wait for each other, and never in a ring."""
    if not new:
        return
    empty = {name: _prepared(default()) for name, default in COLUMNS.items()}
    values = [
        empty
        | {name: _prepared(value) for name, value in row.values.items()}
        | {"session_id": key[0], "message_id": key[1], "delivered": row.delivered, "ack_level": row.ack_level}
        for key, row in sorted(new.items())
    ]
    names = ", ".join(map(connection.ops.quote_name, COLUMNS))
    statement = f"INSERT INTO {TABLE} ({names}) VALUES ({_marks(COLUMNS)})"  # noqa: S608  # our own names
    with connection.cursor() as cursor:
        cursor.executemany(statement, [[row[name] for name in COLUMNS] for row in values])


def _prepared(value: Any) -> Any:
    """As the driver takes it."""
    if isinstance(value, dict):
        return json.dumps(value)
    if hasattr(value, "tzinfo"):
        return connection.ops.adapt_datetimefield_value(value)
    return value


def _raise_acks(levels: dict[Key, int | None]) -> None:
    """Only where they are lower still, as another process may have raised them since they were read. One statement for
    each session locks its rows in the order of their index, so that two processes never wait in a ring."""
    of_session: defaultdict[int, defaultdict[int | None, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (session, message_id), level in sorted(levels.items()):
        of_session[session][level].append(message_id)
    for session, by_level in of_session.items():
        wanted = [
            Q(message_id__in=ids) & (Q(ack_level__isnull=True) | Q(ack_level__lt=level))
            for level, ids in by_level.items()
        ]
        raised = Case(*(When(message_id__in=ids, then=Value(level)) for level, ids in by_level.items()))
        Message.objects.filter(reduce(or_, wanted), session=session).update(ack_level=raised)
