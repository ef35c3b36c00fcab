"""A bridge's capabilities: typed by hand, read by the public page."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import Bridge
from tests.sessions_admin.test_secrets import bridge_form


def save(client: Client, bridge: Bridge, capabilities: str) -> Any:
    form = bridge_form(bridge, "hmac", "") | {"credentials-2-TOTAL_FORMS": 0, "capabilities": capabilities}
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
