"""`manage.py check` finds what the database has and the migrations do not, and the other way round."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection

from accounts.db.system_checks import database_is_what_migrations_made

PHANTOM = "unique_active_phone_workspace"  # the index that made every second QR a 500


@contextmanager
def changed(do: str, undo: str) -> Iterator[None]:
    """DDL ends a transaction on MariaDB: it is undone by hand."""
    with connection.cursor() as cursor:
        cursor.execute(do)
        try:
            yield
        finally:
            cursor.execute(undo)


def ids() -> list[str]:
    return [str(found.id) for found in database_is_what_migrations_made(None, databases=["default"])]


@pytest.mark.django_db(transaction=True)
def test_a_migrated_database_has_no_drift() -> None:
    assert ids() == []


@pytest.mark.django_db(transaction=True)
def test_a_unique_index_from_nowhere_is_found_and_named() -> None:
    table = "ON whatsapp_accounts" if connection.vendor == "mysql" else ""
    create = f"CREATE UNIQUE INDEX {PHANTOM} ON whatsapp_accounts (phone_number, workspace_id, status)"
    with changed(create, f"DROP INDEX {PHANTOM} {table}"):
        (found,) = database_is_what_migrations_made(None, databases=["default"])
    assert found.id == "linkdesk.W011"
    assert PHANTOM in found.msg


@pytest.mark.django_db(transaction=True)
def test_an_index_that_only_slows_down_is_found() -> None:
    table = "ON whatsapp_accounts" if connection.vendor == "mysql" else ""
    with changed("CREATE INDEX extra ON whatsapp_accounts (label)", f"DROP INDEX extra {table}"):
        assert ids() == ["linkdesk.W013"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PUBLIC_URL", "http://linkdesk.example", "linkdesk.W001"),
        ("EMBEDDED", True, "linkdesk.W002"),
        ("ALLOWED_HOSTS", ["*"], "linkdesk.E001"),
    ],
)
def test_settings_too_weak_for_production_are_named(settings: Any, name: str, value: Any, expected: str) -> None:
    setattr(settings, name, value)
    with pytest.raises(SystemCheckError) as found:
        call_command("check", "--deploy", "--fail-level", "WARNING", stdout=StringIO(), stderr=StringIO())
    assert expected in str(found.value)
