"""Checks for `manage.py check --database default --deploy`: schema drift, and settings too weak for production.

The portal that Linkdesk replaces had a unique index in its database and in no migration: every second QR was a 500.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model

OURS = ("accounts", "api", "webhooks")
Columns = tuple[str, ...]


# All are warnings: `migrate` runs these checks first, and must be able to mend what they find.
@register(Tags.database)
def database_is_what_migrations_made(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **_: Any
) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        pending = pending_migrations(connection)
        if pending:
            hint = "Run manage.py migrate."
            found.append(Warning(f"{pending} migrations are not applied to '{alias}'.", hint=hint, id="linkdesk.W010"))
            continue
        for label in OURS:
            for model in apps.get_app_config(label).get_models(include_auto_created=True):
                found += _drift_of(model, connection)
    return found


@register(Tags.security, deploy=True)
def settings_are_fit_for_production(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if urlsplit(settings.PUBLIC_URL).scheme != "https":
        hint = "Set PUBLIC_URL=https://… and put a proxy with a certificate in front."
        found.append(Warning("Linking pages are not served over https.", hint=hint, id="linkdesk.W001"))
    if settings.EMBEDDED:
        hint = "Set DATABASE_URL to a MariaDB database."
        found.append(Warning("The database is the embedded one.", hint=hint, id="linkdesk.W002"))
    if "*" in settings.ALLOWED_HOSTS:
        hint = "Name the hosts. Sockets trust the same list."
        found.append(Error("ALLOWED_HOSTS allows every host.", hint=hint, id="linkdesk.E001"))
    return found


def pending_migrations(connection: BaseDatabaseWrapper) -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _drift_of(model: type[Model], connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    table = model._meta.db_table
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table)
    unique = {tuple(found["columns"]): name for name, found in constraints.items() if found["unique"]}
    plain = {tuple(found["columns"]): name for name, found in constraints.items() if _is_plain_index(found)}
    wanted_unique, wanted_plain = _unique_of(model), _indexed_by(model)
    missing = wanted_unique - unique.keys() - {_primary_key(model)}
    return [
        *(_extra_unique(table, columns, unique[columns]) for columns in sorted(unique.keys() - wanted_unique)),
        *(_missing(table, columns) for columns in sorted(missing)),
        *(
            _extra_index(table, columns, plain[columns])
            for columns in sorted(plain.keys() - wanted_plain - wanted_unique)
        ),
    ]


def _is_plain_index(found: Mapping[str, object]) -> bool:
    return bool(found["index"] and not found["unique"] and not found["foreign_key"])


def _extra_unique(table: str, columns: Columns, name: str) -> CheckMessage:
    text = f"The database has a unique index that no migration made: {name} on {table} ({', '.join(columns)})."
    hint = f"Rows that Linkdesk allows will fail on it. Drop it: ALTER TABLE {table} DROP INDEX {name};"
    return Warning(text, hint=hint, id="linkdesk.W011")


def _missing(table: str, columns: Columns) -> CheckMessage:
    text = f"The database lacks the unique index on {table} ({', '.join(columns)})."
    hint = "Rows may stand twice. Find and merge them, then create the index as the migration does."
    return Warning(text, hint=hint, id="linkdesk.W012")


def _extra_index(table: str, columns: Columns, name: str) -> CheckMessage:
    text = f"The database has an index that no migration made: {name} on {table} ({', '.join(columns)})."
    return Warning(text, hint="It slows down writing. Drop it, or put it into the model.", id="linkdesk.W013")


def _primary_key(model: type[Model]) -> Columns:
    """The columns of the primary key. On SQLite it is the row's own number, and has no index."""
    return _columns(model, [model._meta.pk.name])


def _unique_of(model: type[Model]) -> set[Columns]:
    meta = model._meta
    single = {_columns(model, [field.name]) for field in meta.local_fields if field.unique}
    together = {_columns(model, names) for names in meta.unique_together}
    named = {_columns(model, constraint.fields) for constraint in meta.total_unique_constraints}
    return single | together | named


def _indexed_by(model: type[Model]) -> set[Columns]:
    """The columns of the model's named indexes and of its foreign keys."""
    named = [[name.removeprefix("-") for name in index.fields] for index in model._meta.indexes]
    relations = [[field.name] for field in model._meta.local_fields if field.is_relation]
    return {_columns(model, names) for names in [*named, *relations]}


def _columns(model: type[Model], names: Iterable[str]) -> Columns:
    return tuple(str(model._meta.get_field(name).column) for name in names)  # type: ignore[union-attr]  # no relation
