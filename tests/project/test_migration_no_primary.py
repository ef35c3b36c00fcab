"""0012: nobody reads whether an account is primary, so the column goes; on the way back it is there, and says no."""

import pytest
from django.db import connection

from tests.support.migrations import before, migrate, newest_after_all

NAME = ("accounts", "0012_no_primary")

__all__ = ["newest_after_all"]


def columns() -> set[str]:
    with connection.cursor() as cursor:
        return {column.name for column in connection.introspection.get_table_description(cursor, "whatsapp_accounts")}


@pytest.mark.usefixtures("newest_after_all")
def test_accounts_keep_all_but_the_flag_both_ways() -> None:
    old = migrate(*before(NAME))
    workspace = old.get_model("accounts", "Workspace").objects.create(name="Alpha")
    for label, is_primary in (("first", True), ("second", False)):
        old.get_model("accounts", "Account").objects.create(workspace=workspace, label=label, is_primary=is_primary)
    new = migrate(NAME)
    assert "is_primary" not in columns()
    accounts = new.get_model("accounts", "Account").objects
    assert sorted(accounts.values_list("label", "workspace__name")) == [("first", "Alpha"), ("second", "Alpha")]
    accounts.create(workspace_id=workspace.pk, label="third")
    again = migrate(*before(NAME)).get_model("accounts", "Account").objects
    assert sorted(again.values_list("label", "is_primary")) == [("first", False), ("second", False), ("third", False)]
