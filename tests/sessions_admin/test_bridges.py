"""What staff type about a bridge: what it can, how much it carries, whom it serves."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Bridge, LinkSession, Workspace
from tests.sessions_admin.forms import bridge_form
from tests.support.portal import make_bridge

URL = "http://node.example:3001/wa"


def save(client: Client, bridge: Bridge, capabilities: str = "[]", **more: object) -> Any:
    form = bridge_form(bridge, "hmac", "") | {"credentials-2-TOTAL_FORMS": 0, "capabilities": capabilities} | more
    return client.post(f"/admin/accounts/bridge/{bridge.pk}/change/", form)


@pytest.mark.parametrize("typed", ["", "null", "[]"])
def test_an_empty_box_means_none(as_alice: Client, bridge: Bridge, typed: str) -> None:
    assert save(as_alice, bridge, typed).status_code == 302

    bridge.refresh_from_db()
    assert bridge.capabilities == []


def test_a_list_of_words_is_kept(as_alice: Client, bridge: Bridge) -> None:
    assert save(as_alice, bridge, '["logout", "pairing_code"]').status_code == 302

    bridge.refresh_from_db()
    assert bridge.capabilities == ["logout", "pairing_code"]


@pytest.mark.parametrize("typed", ["5", "true", '"logout"', '{"logout": 1}', "[1]", '[""]', '[["logout"]]', "logout"])
def test_anything_else_is_a_form_error(as_alice: Client, bridge: Bridge, typed: str) -> None:
    response = save(as_alice, bridge, typed)

    assert response.status_code == 200
    assert "capabilities" in response.context["adminform"].form.errors
    bridge.refresh_from_db()
    assert bridge.capabilities == ["logout"]


@pytest.mark.parametrize("stored", [5, True, "logout", {"logout": 1}, {}])
def test_what_got_in_another_way_breaks_nothing(bridge: Bridge, stored: Any) -> None:
    Bridge.objects.filter(pk=bridge.pk).update(capabilities=stored)
    bridge.refresh_from_db()

    assert not bridge.can_unlink


def test_what_its_heartbeats_say_is_not_typed_over(as_alice: Client, bridge: Bridge) -> None:
    save(as_alice, bridge, capacity=30)
    bridge.refresh_from_db()
    assert (bridge.capacity, bridge.capabilities) == (30, [])
    Bridge.objects.update(last_heartbeat_at=timezone.now(), capabilities=["logout"])

    assert save(as_alice, bridge, capacity=3).status_code == 302

    bridge.refresh_from_db()
    assert (bridge.capacity, bridge.capabilities) == (30, ["logout"])
    html = as_alice.get(f"/admin/accounts/bridge/{bridge.pk}/change/").content.decode()
    assert "What the bridge says itself counts." in html


class TestWhomItServes:
    def problems(self, client: Client, bridge: Bridge, *served: Workspace) -> str:
        response = save(client, bridge, workspaces=[workspace.pk for workspace in served])
        return "" if response.status_code == 302 else str(response.context["adminform"].form.errors["workspaces"])

    @pytest.fixture
    def other(self, db: None) -> Workspace:
        return Workspace.objects.create(name="Toko Bob")

    def test_is_not_narrowed_while_it_runs_sessions_of_others(
        self, as_alice: Client, bridge: Bridge, session: LinkSession, workspace: Workspace, other: Workspace
    ) -> None:
        assert f"open sessions of {workspace.name}," in self.problems(as_alice, bridge, other)
        assert not bridge.workspaces.exists()
        assert not self.problems(as_alice, bridge, other, workspace)
        assert self.problems(as_alice, bridge, other)
        assert bridge.workspaces.count() == 2

    def test_is_narrowed_when_they_have_ended(
        self, as_alice: Client, bridge: Bridge, session: LinkSession, other: Workspace
    ) -> None:
        LinkSession.objects.update(ended_at=timezone.now())
        assert not self.problems(as_alice, bridge, other)
        assert list(bridge.workspaces.all()) == [other]

    def test_what_it_does_not_serve_already_refuses_no_other_edit(
        self, as_alice: Client, bridge: Bridge, session: LinkSession, other: Workspace
    ) -> None:
        bridge.workspaces.add(other)
        assert not self.problems(as_alice, bridge, other)
        assert not self.problems(as_alice, bridge)


@pytest.mark.parametrize("typed", [URL, f"{URL}/", "http://Node.Example:3001/wa"])
@pytest.mark.parametrize("draining", [False, True])
def test_no_bridge_gets_the_url_of_another(as_alice: Client, bridge: Bridge, typed: str, draining: bool) -> None:
    make_bridge("beta", url=URL, draining=draining, last_heard_at=None)
    no_secrets = {f"credentials{more}-{name}_FORMS": 0 for more in ("", "-2") for name in ("TOTAL", "INITIAL")}
    new = bridge_form(bridge, "hmac", "") | no_secrets | {"name": "gamma", "url": typed}

    for response in (save(as_alice, bridge, url=typed), as_alice.post("/admin/accounts/bridge/add/", new)):
        html = response.content.decode()
        assert "The bridge beta has this URL already." in html
        assert "Edit that row instead, or change its URL first." in html
    assert set(Bridge.objects.values_list("name", "url")) == {("alpha", bridge.url), ("beta", URL)}


def test_another_path_or_port_of_the_same_host_is_another_bridge(as_alice: Client, bridge: Bridge) -> None:
    make_bridge("beta", url=URL)

    for url in ("http://node.example:3001/WA", "http://node.example:3001", "http://node.example:3002/wa"):
        assert save(as_alice, bridge, url=url).status_code == 302


def test_a_url_that_is_none_is_a_form_error(as_alice: Client, bridge: Bridge) -> None:
    assert "Enter a valid URL." in save(as_alice, bridge, url="http://[::1").content.decode()


def test_rows_that_share_a_url_already_can_still_be_edited(as_alice: Client, bridge: Bridge) -> None:
    make_bridge("beta", url=bridge.url)

    assert save(as_alice, bridge, draining="on").status_code == 302

    bridge.refresh_from_db()
    assert bridge.draining
