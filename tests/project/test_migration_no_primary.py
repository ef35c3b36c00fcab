"""0012: nobody reads whether an account is primary, so the column goes; on the way back it is there, and says no."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

NAME = ("accounts", "0012_no_primary")
Migrate = Callable[[list[tuple[str, str]]], Any]  # not Apps: the types would be those of today's models


@pytest.fixture
def migrate(transactional_db: None) -> Iterator[Migrate]:
    def to(targets: list[tuple[str, str]]) -> Any:
        executor = MigrationExecutor(connection)
        return executor.migrate(targets).apps

    yield to
    to(MigrationExecutor(connection).loader.graph.leaf_nodes())


def columns() -> set[str]:
    with connection.cursor() as cursor:
        return {column.name for column in connection.introspection.get_table_description(cursor, "whatsapp_accounts")}


def test_accounts_keep_all_but_the_flag_both_ways(migrate: Migrate) -> None:
    before = MigrationExecutor(connection).loader.disk_migrations[NAME].dependencies
    old = migrate(list(before))
    workspace = old.get_model("accounts", "Workspace").objects.create(name="Alpha")
    for label, is_primary in (("first", True), ("second", False)):
        old.get_model("accounts", "Account").objects.create(workspace=workspace, label=label, is_primary=is_primary)
    new = migrate([NAME])
    assert "is_primary" not in columns()
    accounts = new.get_model("accounts", "Account").objects
    assert sorted(accounts.values_list("label", "workspace__name")) == [("first", "Alpha"), ("second", "Alpha")]
    accounts.create(workspace_id=workspace.pk, label="third")
    again = migrate(list(before)).get_model("accounts", "Account").objects
    assert sorted(again.values_list("label", "is_primary")) == [("first", False), ("second", False), ("third", False)]
