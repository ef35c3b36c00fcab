"""The test database on SQLite: migrated once, and copied from a file by each process and each later run.

The migrations take three seconds of a processor. The copy is named after all that they are made of; a database server
is migrated as ever.
"""

import fcntl
import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import django
from django.apps import apps
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.support import ROOT

IMPORTED_BY_MIGRATIONS = (
    "accounts/access/roles.py",
    "accounts/fields.py",
    "accounts/phones.py",
    "config/settings.py",
)


def template() -> Path:
    """Where the migrated database is, or will be. Another name as soon as a migration changes."""
    digest = hashlib.sha256(django.__version__.encode())
    for app in sorted(apps.get_app_configs(), key=lambda app: app.label):
        for file in sorted((Path(app.path) / "migrations").glob("*.py")):
            digest.update(f"{app.label} {file.name}".encode() + file.read_bytes())
    for name in IMPORTED_BY_MIGRATIONS:
        digest.update((ROOT / name).read_bytes())
    return Path(settings.DATA_DIR) / f"migrated-{digest.hexdigest()[:16]}.sqlite3"


def copy_to(target: Path) -> bool:
    """Whether there was a migrated database to copy."""
    for leftover in (target, Path(f"{target}-wal"), Path(f"{target}-shm")):
        leftover.unlink(missing_ok=True)
    source = template()
    if source.exists():
        target.write_bytes(source.read_bytes())
    return source.exists()


def keep(connection: BaseDatabaseWrapper) -> None:
    """Make it the one that others copy; those of other migrations are of no more use."""
    target = template()
    for old in target.parent.glob("migrated-*.sqlite3"):
        old.unlink(missing_ok=True)
    building = target.with_suffix(".building")
    with sqlite3.connect(building) as copy:
        connection.connection.backup(copy)
        copy.execute("DELETE FROM django_q_schedule")  # made anew with each copy: their times are of this moment
    copy.close()
    building.replace(target)


def remember(connection: BaseDatabaseWrapper, tables: Sequence[str]) -> Callable[..., None]:
    """Copy the rows of these tables into tables beside them. Calling the result puts them back.

    The database copies them in a millisecond; as models they cost a tenth of a second after each of thousands of tests.
    """
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"DROP TABLE IF EXISTS {_beside(table)}")
            cursor.execute(f"CREATE TABLE {_beside(table)} AS SELECT * FROM {table}")

    def put_back(*_: object, **__: object) -> None:
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"INSERT INTO {table} SELECT * FROM {_beside(table)}")

    return put_back


def _beside(table: str) -> str:
    return f"remembered_{table}"


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """The first process migrates, and the others wait for what it leaves."""
    with (Path(settings.DATA_DIR) / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
