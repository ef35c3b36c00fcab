"""A workspace that is deleted opens no bridge to other customers."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Bridge, Workspace

LIST = "/admin/accounts/workspace/"
REFUSED = "No other workspace is chosen for this bridge, so it would serve all of them."


@pytest.fixture
def only(bridge: Bridge) -> Workspace:
    """The workspace that the bridge serves, and no other."""
    only = Workspace.objects.create(name="Only")
    bridge.workspaces.add(only)
    return only


def delete_on_its_page(client: Client, *workspaces: Workspace) -> Any:
    return client.post(f"{LIST}{workspaces[0].pk}/delete/", {"post": "yes"})


def delete_selected(client: Client, *workspaces: Workspace) -> Any:
    chosen = [workspace.pk for workspace in workspaces]
    return client.post(LIST, {"action": "delete_selected", "_selected_action": chosen, "post": "yes"})


@pytest.mark.parametrize("delete", [delete_on_its_page, delete_selected])
def test_the_only_one_of_a_bridge_stays(
    as_alice: Client, bridge: Bridge, only: Workspace, workspace: Workspace, delete: Callable[..., Any]
) -> None:
    response = delete(as_alice, only)

    assert REFUSED in response.content.decode()
    assert f'href="/admin/accounts/bridge/{bridge.pk}/change/">alpha</a>' in response.content.decode()
    assert Workspace.objects.filter(pk=only.pk).exists()
    assert not bridge.serves(workspace.pk)


def test_nor_are_all_that_a_bridge_serves_deleted_at_once(as_alice: Client, bridge: Bridge, only: Workspace) -> None:
    second = Workspace.objects.create(name="Second")
    bridge.workspaces.add(second)

    assert REFUSED in delete_selected(as_alice, only, second).content.decode()
    assert bridge.workspaces.count() == 2


@pytest.mark.parametrize("delete", [delete_on_its_page, delete_selected])
def test_one_of_several_is_deleted(
    as_alice: Client, bridge: Bridge, only: Workspace, workspace: Workspace, delete: Callable[..., Any]
) -> None:
    bridge.workspaces.add(workspace)

    assert delete(as_alice, only).status_code == 302

    assert list(bridge.workspaces.all()) == [workspace]


@pytest.mark.parametrize("delete", [delete_on_its_page, delete_selected])
def test_a_bridge_that_serves_all_keeps_none(
    as_alice: Client, bridge: Bridge, workspace: Workspace, delete: Callable[..., Any]
) -> None:
    assert delete(as_alice, workspace).status_code == 302

    assert not Workspace.objects.exists()
