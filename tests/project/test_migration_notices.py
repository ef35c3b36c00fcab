"""0022 and 0023: why a start was refused, the losses of links, notices, and history rows that stand for many."""

from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from tests.support.migrations import before, migrate, newest_after_all

NAMES = [("accounts", "0021_refused_starts"), ("accounts", "0022_losses_and_notices")]

__all__ = ["newest_after_all"]


def model(apps: Any, name: str) -> Any:
    return apps.get_model("accounts", name).objects


@pytest.mark.usefixtures("newest_after_all")
def test_rows_are_kept_both_ways() -> None:
    old = migrate(*before(NAMES[0]))
    workspace = model(old, "Workspace").create(name="Alpha")
    bridge = model(old, "Bridge").create(name="alpha", url="http://127.0.0.1:1")
    account = model(old, "Account").create(workspace=workspace, label="Kasir", status="connected")
    session = model(old, "LinkSession").create(session_id="webjs_1_1_a", account=account, bridge=bridge)
    chain = ["connected", "disconnected"] * 20
    for was, became in pairwise(chain):
        model(old, "Transition").create(account=account, session=session, old=was, new=became, trigger="check")

    new = migrate(NAMES[1])
    assert model(new, "Account").values_list("label", "refused_at", "refused_because").get() == ("Kasir", None, "")
    assert set(model(new, "Transition").values_list("losses", "began_at")) == {(0, None)}
    keys = {"account_id": account.pk, "session_id": session.pk}
    model(new, "AccountNotice").create(**keys, kind="flapping", count=40)
    model(new, "LinkLoss").create(session_id=session.pk, at=timezone.now())
    model(new, "Account").update(refused_at=timezone.now(), refused_because="never_heard")
    row = {"old": "disconnected", "new": "connected", "trigger": "flapping", "losses": 38, "began_at": timezone.now()}
    model(new, "Transition").create(**keys, **row)

    again = migrate(*before(NAMES[0]))
    assert model(again, "Account").values_list("label", "status").get() == ("Kasir", "connected")
    assert model(again, "Transition").count() == len(chain)
    assert model(again, "Transition").latest("pk").trigger == "flapping"
    assert model(migrate(NAMES[1]), "AccountNotice").count() == 0
