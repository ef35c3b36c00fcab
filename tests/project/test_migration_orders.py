"""Orders that were under way before their last problem had a code."""

from typing import Any

import pytest

from tests.support.migrations import migrate, newest_after_all

BEFORE, AFTER = ("accounts", "0007_rival_seen_at"), ("accounts", "0008_order_moves")
DIED = "the worker died with it"
TEXTS = ["", DIED, f"{DIED}. The phone may be asking for it.", "it answered 500"]

__all__ = ["newest_after_all"]

pytestmark = pytest.mark.usefixtures("newest_after_all")


def fill(apps: Any, problems: list[dict[str, str]]) -> Any:
    workspace = apps.get_model("accounts", "Workspace").objects.create(name="Toko Alice")
    account = apps.get_model("accounts", "Account").objects.create(workspace=workspace)
    bridge = apps.get_model("accounts", "Bridge").objects.create(name="alpha", url="http://127.0.0.1:9")
    sessions = apps.get_model("accounts", "LinkSession").objects
    session = sessions.create(session_id="webjs_1_1_one", account=account, bridge=bridge)
    orders = apps.get_model("accounts", "BridgeOrder").objects
    for problem in problems:
        orders.create(session=session, bridge=bridge, kind="start", **problem)
    return orders


def test_the_code_is_read_from_the_text() -> None:
    fill(migrate(BEFORE), [{"error": text} for text in TEXTS])
    orders = migrate(AFTER).get_model("accounts", "BridgeOrder").objects
    assert list(orders.order_by("pk").values_list("setback", "error")) == list(
        zip(["", "worker_died", "worker_died", "try_failed"], TEXTS, strict=True)
    )


def test_the_way_back_writes_the_text_that_was_read() -> None:
    problems = [
        {"setback": "", "error": ""},
        {"setback": "worker_died", "error": "pekerjanya mati"},
        {"setback": "worker_died", "error": TEXTS[2]},
        {"setback": "try_failed", "error": "it answered 500"},
    ]
    fill(migrate(AFTER), problems)
    orders = migrate(BEFORE).get_model("accounts", "BridgeOrder").objects
    assert list(orders.order_by("pk").values_list("error", flat=True)) == ["", DIED, TEXTS[2], "it answered 500"]
