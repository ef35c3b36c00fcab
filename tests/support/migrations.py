"""The database as an earlier version had it, and the way from there to the newest and back."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

Name = tuple[str, str]  # the app's label and the migration's name


def migrate(*targets: Name) -> Any:
    """To these, or to the newest without any. Gives the models of then, untyped: their fields are not today's."""
    executor = MigrationExecutor(connection)
    nodes = targets or tuple(executor.loader.graph.leaf_nodes())
    if executor.migration_plan(nodes):
        executor.migrate(nodes)
    return models_at(nodes)


@cache
def models_at(nodes: tuple[Name, ...]) -> Any:
    """Django makes a class of each, all anew, which takes longer than most migrations."""
    return MigrationExecutor(connection).loader.project_state(list(nodes)).apps


def before(name: Name) -> list[Name]:
    """The migrations that this one builds on."""
    return list(MigrationExecutor(connection).loader.get_migration(*name).dependencies)


@pytest.fixture
def newest_after_all(transactional_db: None) -> Iterator[None]:
    """Whatever happens, the next test finds the tables of today."""
    yield
    migrate()
