"""0019: a bridge of before has shown no version 2 and its processes have numbered no heartbeat; both ways it stays."""

from typing import Any

import pytest

from tests.support.migrations import before, migrate, newest_after_all

NAME = ("accounts", "0019_signature_versions")

__all__ = ["newest_after_all"]


def rows(models: Any) -> tuple[list[Any], list[Any]]:
    bridges = models.get_model("accounts", "Bridge").objects
    processes = models.get_model("accounts", "BridgeProcess").objects
    return sorted(bridges.values_list("name", "url")), sorted(processes.values_list("bridge__name", "boot"))


@pytest.mark.usefixtures("newest_after_all")
def test_bridges_and_their_processes_are_kept_both_ways() -> None:
    old = migrate(*before(NAME))
    for name in ("alpha", "beta"):
        bridge = old.get_model("accounts", "Bridge").objects.create(name=name, url=f"http://{name}:3001")
        old.get_model("accounts", "BridgeProcess").objects.create(bridge=bridge, boot="boot-a")
    kept = rows(old)
    new = migrate(NAME)
    assert rows(new) == kept
    assert set(new.get_model("accounts", "Bridge").objects.values_list("version_2_since", flat=True)) == {None}
    numbers = new.get_model("accounts", "BridgeProcess").objects
    assert set(numbers.values_list("heartbeat_sequence", flat=True)) == {None}
    numbers.update(heartbeat_sequence=2**40)
    assert rows(migrate(*before(NAME))) == kept
