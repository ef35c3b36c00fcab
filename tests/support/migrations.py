"""The database as an earlier version had it, and the way from there to the newest and back.

The operations are the migrations' own, run as Django runs them. But Django works out the models before and after each
of them, all anew, for every way that is gone: ten seconds of a processor. Here a process does so once (`_steps`).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunPython
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

Name = tuple[str, str]  # the app's label and the migration's name
Step = tuple[Any, ProjectState, ProjectState]  # an operation, and the models before and after it

_known: dict[Name, list[Step]] = {}


def migrate(*targets: Name) -> Any:
    """To these, or to the newest without any. Gives the models of then, untyped: their fields are not today's."""
    executor = MigrationExecutor(connection)
    nodes = targets or tuple(_loader().graph.leaf_nodes())
    for migration, is_backwards in executor.migration_plan(nodes):
        _undo(migration) if is_backwards else _do(migration)
    return models_at(nodes)


def _do(migration: Migration) -> None:
    with connection.schema_editor(atomic=migration.atomic) as editor:
        for operation, old, new in _steps((migration.app_label, migration.name)):
            with _as_atomic_as(migration, operation, editor):
                operation.database_forwards(migration.app_label, editor, old, new)
    MigrationRecorder(connection).record_applied(migration.app_label, migration.name)


def _undo(migration: Migration) -> None:
    with connection.schema_editor(atomic=migration.atomic) as editor:
        for operation, old, new in reversed(_steps((migration.app_label, migration.name))):
            assert operation.reversible, f"{operation} of {migration}"
            with _as_atomic_as(migration, operation, editor):
                operation.database_backwards(migration.app_label, editor, new, old)
    MigrationRecorder(connection).record_unapplied(migration.app_label, migration.name)


def _as_atomic_as(migration: Migration, operation: Any, editor: Any) -> AbstractContextManager[None]:
    """As `Migration.apply` decides it: MariaDB has no transactions around what changes a table."""
    is_atomic = operation.atomic or (migration.atomic and operation.atomic is not False)
    return transaction.atomic() if is_atomic and not editor.atomic_migration else nullcontext()


@cache
def _loader() -> MigrationLoader:
    return MigrationLoader(connection)


def _steps(wanted: Name) -> list[Step]:
    """The migration's operations. Those of all that come after it in an empty database are worked out on the way."""
    if wanted not in _known:
        state = ProjectState(real_apps=_loader().unmigrated_apps)
        has_begun = False  # what is known are the last ones of the plan
        for name, migration in _plan():
            has_begun = has_begun or name == wanted
            if name in _known:
                break
            if has_begun:
                _known[name], state = _steps_from(state, migration)
            else:
                migration.mutate_state(state, preserve=False)
    return _known[wanted]


def _plan() -> list[tuple[Name, Migration]]:
    """All migrations, in the order in which an empty database gets them."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
    return [((migration.app_label, migration.name), migration) for migration, _ in plan]


def _steps_from(state: ProjectState, migration: Migration) -> tuple[list[Step], ProjectState]:
    steps: list[Step] = []
    for operation in migration.operations:
        old = _complete(state) if isinstance(operation, RunPython) else state
        if not isinstance(operation, RunPython):
            old.apps  # noqa: B018  # made now, for the next ones to begin with
            state = old.clone()
            operation.state_forwards(migration.app_label, state)
        steps.append((operation, old, state))
    return steps, state


def _complete(state: ProjectState) -> ProjectState:
    """With all relations between its models, which Django leaves out until a migration's own code asks for models."""
    state.clear_delayed_apps_cache()
    state.apps  # noqa: B018
    state.is_delayed = False
    return state


@cache
def models_at(nodes: tuple[Name, ...]) -> Any:
    """Django makes a class of each, all anew, which takes longer than most migrations."""
    return _loader().project_state(list(nodes)).apps


def before(name: Name) -> list[Name]:
    """The migrations that this one builds on."""
    return list(_loader().get_migration(*name).dependencies)


@pytest.fixture
def newest_after_all(transactional_db: None) -> Iterator[None]:
    """Whatever happens, the next test finds the tables of today."""
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            # An instant change leaves the old column in each row: after thirty ways there and back, rows have no room.
            cursor.execute("SET GLOBAL innodb_instant_alter_column_allowed = never")
    yield
    migrate()
