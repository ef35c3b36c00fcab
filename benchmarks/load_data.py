"""Fills an empty MariaDB database as 100,000 accounts would: python -m benchmarks.load_data [--scale 0.01]

Each table is one statement over MariaDB's own sequences, and all that differs comes from RAND() of a row's number: the
same rows each time. `manage.py migrate` comes first. Full size takes some minutes.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

ACCOUNTS, SESSIONS, TRANSITIONS, EVENTS, MESSAGES = 100_000, 300_000, 2_000_000, 500_000, 1_000_000
WORKSPACES, BRIDGES = 200, 60
SEED = 20261201
AT_ONCE = 50_000  # rows of a statement: one that takes 30 s is given up
OPEN = 0.9  # of the accounts are linked
AGO = "NOW(6) - INTERVAL FLOOR(RAND(seq) * 7776000) SECOND"  # within 90 days


class Size:
    """The numbers of rows, and the SQL over `seq` that follows from them."""

    def __init__(self, scale: float) -> None:
        counts = (ACCOUNTS, SESSIONS, TRANSITIONS, EVENTS, MESSAGES)
        sizes = [max(10, int(number * scale)) for number in counts]
        self.accounts, self.sessions, self.transitions, self.events, self.messages = sizes
        self.linked = int(self.accounts * OPEN)
        self.is_linked = f"seq > {self.accounts - self.linked}"
        self.is_open = f"seq > {self.sessions - self.linked}"  # the newest session of each linked account
        self.account = f"1 + MOD(seq - 1, {self.accounts})"
        self.session = f"1 + FLOOR(RAND({SEED} + seq) * {self.sessions})"


def fill(scale: float) -> None:
    size = Size(scale)
    _places()
    _accounts(size)
    _sessions(size)
    _point_accounts_to_their_sessions()
    _history(size)
    _events(size)
    _messages(size)


def _places() -> None:
    from accounts.models import Bridge, Workspace

    insert(Workspace, WORKSPACES, name="CONCAT('Toko ', seq)")
    insert(
        Bridge, BRIDGES, name="CONCAT('bridge-', seq)", url="CONCAT('http://10.0.0.', seq, ':3000')", capacity="5000"
    )
    Bridge.objects.update(capabilities=["logout"], weight=100)


def _accounts(size: Size) -> None:
    from accounts.models import Account

    insert(
        Account,
        size.accounts,
        uuid="UUID()",
        workspace_id=f"1 + MOD(seq, {WORKSPACES})",
        label="CONCAT('Kasir ', seq)",
        phone_number="CONCAT('62811', LPAD(seq, 7, '0'))",
        phone_key="CONCAT('62811', LPAD(seq, 7, '0'))",
        status=f"IF({size.is_linked}, 'connected', ELT(1 + MOD(seq, 3), 'inactive', 'failed', 'logged_out'))",
        status_changed_at=AGO,
    )


def _sessions(size: Size) -> None:
    from accounts.models import LinkSession

    insert(
        LinkSession,
        size.sessions,
        session_id="CONCAT('webjs_', 1 + MOD(seq, 200), '_1763600000_', LPAD(HEX(seq), 8, '0'))",
        account_id=size.account,
        bridge_id=f"1 + MOD(seq, {BRIDGES})",
        started_at=AGO,
        admitted_at=AGO,
        connected_at=f"IF({size.is_open}, NOW(6), NULL)",
        last_seen_at=f"IF({size.is_open}, NOW(6), NULL)",
        ended_at=f"IF({size.is_open}, NULL, {AGO})",
        end_reason=f"IF({size.is_open}, '', ELT(1 + MOD(seq, 3), 'qr_expired', 'replaced', 'logged_out'))",
    )


def _history(size: Size) -> None:
    from accounts.models import Transition

    insert(
        Transition,
        size.transitions,
        account_id=size.account,
        session_id=size.session,
        old="'qr_scanning'",
        new="ELT(1 + MOD(seq, 4), 'authenticated', 'connected', 'disconnected', 'qr_expired')",
        trigger="ELT(1 + MOD(seq, 4), 'session_authenticated', 'session_ready', 'session_disconnected', 'expire')",
        created_at=AGO,
    )


def _events(size: Size) -> None:
    from webhooks.models import WebhookEvent

    insert(
        WebhookEvent,
        size.events,
        session_id=size.session,
        bridge_id=f"1 + MOD(seq, {BRIDGES})",
        event="ELT(1 + MOD(seq, 3), 'session_ready', 'session_disconnected', 'session_authenticated')",
        state="IF(MOD(seq, 1000) = 0, 'dead', 'applied')",
        replay_key="SHA2(seq, 256)",
        payload="JSON_OBJECT('session_id', CONCAT('s', seq), 'reason', REPEAT('x', 200))",
        due_at=AGO,
        received_at=AGO,
        finished_at=AGO,
    )


def _messages(size: Size) -> None:
    from accounts.models import Message

    insert(
        Message,
        size.messages,
        session_id=size.session,
        message_id="CONCAT('false_6281234567890@c.us_', LPAD(HEX(seq), 32, '0'))",
        delivered="1",
        sender="'6281234567890@c.us'",
        recipient="'6281167328422@c.us'",
        body="REPEAT('halo ', 1 + MOD(seq, 20))",
        type="ELT(1 + MOD(seq, 3), 'chat', 'image', 'ptt')",
        chat_type="'private'",
        sent_at=AGO,
        created_at=AGO,
    )


def _point_accounts_to_their_sessions() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE whatsapp_accounts account JOIN"
            " (SELECT account_id, MAX(id) newest FROM whatsapp_sessions GROUP BY account_id) its"
            " ON its.account_id = account.id SET account.current_session_id = its.newest"
        )


def insert(model: Any, count: int, **columns: str) -> None:
    """Insert so many rows; `columns` are SQL over `seq`, 1 to `count`. What is not named has its default."""
    from django.db import connection

    fields = [each for each in model._meta.concrete_fields if not each.generated]
    values: list[Any] = []
    expressions = [(columns | {"id": "seq"}).get(each.attname) or _default(each, values, connection) for each in fields]
    names = ", ".join(connection.ops.quote_name(each.column) for each in fields)
    began = time.monotonic()
    statement = f"INSERT INTO {model._meta.db_table} ({names}) SELECT {', '.join(expressions)} FROM "
    with connection.cursor() as cursor:
        for first in range(1, count + 1, AT_ONCE):
            cursor.execute(f"{statement} seq_{first}_to_{min(count, first + AT_ONCE - 1)} ORDER BY seq", values)
    print(f"{count:>9,} {model._meta.verbose_name_plural} in {time.monotonic() - began:.0f} s", flush=True)


def _default(field: Any, values: list[Any], connection: Any) -> str:
    from django.utils import timezone

    is_now = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    values.append(field.get_db_prep_save(timezone.now() if is_now else field.get_default(), connection))
    return "%s"


def main(arguments: Sequence[str]) -> int:
    import django

    django.setup()
    from django.db import connection

    from accounts.models import Account

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args(arguments)
    if connection.vendor != "mysql" or Account.objects.exists():
        print("It needs a MariaDB database without accounts: DATABASE_URL=mysql://…")
        return 1
    fill(given.scale)
    return 0


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    sys.exit(main(sys.argv[1:]))
