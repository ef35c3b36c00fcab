"""Statuses and newsletters that were stored as private chats become kinds of their own, and private chats again."""

from typing import Any

import pytest

from tests.support import migrations
from tests.support.migrations import migrate, newest_after_all

FIRST = ("accounts", "0017_whole_events")
NAME = ("accounts", "0018_kinds_of_chats")
# By message id: from, to, the kind as it was stored, and as it is then.
ROWS = {
    "status": ("status@broadcast", "6281@c.us", "private", "status"),
    "own status": ("6281@c.us", "status@broadcast", "private", "status"),
    "newsletter": ("1203@newsletter", "6281@c.us", "private", "newsletter"),
    "own newsletter": ("6281@c.us", "1203@newsletter", "", "newsletter"),
    "person": ("6281@c.us", "6282@c.us", "private", "private"),
    "group": ("1203@g.us", "6281@c.us", "group", "group"),
    "list": ("1203@broadcast", "6281@c.us", "private", "private"),
    "ack": ("", "", "", ""),
}

__all__ = ["newest_after_all"]

pytestmark = pytest.mark.usefixtures("newest_after_all")


def kinds(apps: Any) -> dict[str, str]:
    return dict(apps.get_model("accounts", "Message").objects.values_list("message_id", "chat_type"))


def test_there_and_back() -> None:
    apps = migrate(*migrations.before(FIRST))
    workspace = apps.get_model("accounts", "Workspace").objects.create(name="Toko Alice")
    bridge = apps.get_model("accounts", "Bridge").objects.create(name="alpha", url="http://127.0.0.1:9")
    account = apps.get_model("accounts", "Account").objects.create(workspace=workspace)
    session = apps.get_model("accounts", "LinkSession").objects.create(session_id="s", account=account, bridge=bridge)
    for name, (sender, recipient, kind, _) in ROWS.items():
        apps.get_model("accounts", "Message").objects.create(
            session=session, message_id=name, sender=sender, recipient=recipient, chat_type=kind
        )

    apps = migrate(NAME)
    assert kinds(apps) == {name: row[3] for name, row in ROWS.items()}
    kept = apps.get_model("accounts", "Workspace").objects.get()
    assert (kept.keeps_statuses, kept.keeps_newsletters) == (True, True)
    assert apps.get_model("accounts", "LinkSession").objects.get().unreadable_codes == 0

    apps = migrate(*migrations.before(FIRST))
    assert kinds(apps) == {name: row[2] or ("private" if row[3] else "") for name, row in ROWS.items()}
