"""Bridges in the admin: whether they are up, what their library is known for, how full they are."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Account, Bridge, Incident, LinkSession, ReconcileRun, StraySession, Workspace
from accounts.pairing import attempts
from tests.sessions_admin.forms import bridge_form
from tests.support.links import move_back
from tests.support.portal import make_bridge

LIST = "/admin/accounts/bridge/"


def page(bridge: Bridge) -> str:
    return f"{LIST}{bridge.pk}/change/"


def shown(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def cell(client: Client, name: str) -> str:
    html = shown(client, LIST)
    return html.split(f"field-{name}", 1)[1].split("</td>")[0]


def test_the_list_says_how_full_a_bridge_is(as_alice: Client, workspace: Workspace) -> None:
    bridge = make_bridge("beta", pairings_at_once=1)
    for _ in range(3):
        attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")

    assert bridge.sessions.count() == 3
    assert "3 of 100" in cell(as_alice, "load")
    assert "1 of 1, 2 waiting" in cell(as_alice, "pairings")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "up"),
        ({"last_heard_at": timezone.now() - timedelta(hours=2)}, "down for"),
        ({"last_heard_at": None}, "never heard of"),
        ({"draining": True}, "draining"),
        ({"failing_since": timezone.now()}, "refuses orders"),
    ],
)
def test_the_list_says_whether_a_bridge_is_there(
    as_alice: Client, bridge: Bridge, values: dict[str, Any], words: str
) -> None:
    Bridge.objects.update(**values)

    assert words in cell(as_alice, "state")


def test_the_list_says_that_a_bridge_gave_no_code(as_alice: Client, bridge: Bridge, session: LinkSession) -> None:
    assert "gave no QR code" not in cell(as_alice, "state")
    move_back(session, 61)
    attempts.expire(session.pk)
    assert "gave no QR code" in cell(as_alice, "state")


@pytest.mark.parametrize(
    ("version", "word", "tone"),
    [("1.23.0", "known to fail", "bad"), ("1.30.0", "with problems", "wait"), ("1.33.2", "proven", "good")],
)
def test_the_list_says_what_a_version_is_known_for(
    as_alice: Client, bridge: Bridge, version: str, word: str, tone: str
) -> None:
    Bridge.objects.update(library="whatsapp-web.js", version=version)

    assert f'<span class="ld-dot ld-{tone}">{word}</span>' in cell(as_alice, "kind")


def test_the_list_says_why_a_bridge_takes_no_new_session(as_alice: Client, bridge: Bridge) -> None:
    Bridge.objects.update(draining=True, capacity=0)

    assert "draining, full: 0 of 0" in cell(as_alice, "closed_because")


def test_the_list_costs_the_same_for_20_bridges_as_for_one(as_alice: Client, bridge: Bridge) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            shown(as_alice, LIST)
        return len(queries)

    cost()  # content types are cached
    for_one = cost()
    for number in range(19):
        make_bridge(f"bridge{number}")

    assert cost() == for_one


def test_the_page_says_what_is_wrong_and_what_to_do(as_alice: Client, bridge: Bridge, session: LinkSession) -> None:
    Bridge.objects.update(library="whatsapp-web.js", version="1.26.0", last_error="connection refused")
    Incident.objects.create(bridge=bridge, kind="mass_loss", summary="40 of 60 within a minute", open_key="x")
    StraySession.objects.create(bridge=bridge, session_id="webjs_9_1_stray", status="connected")
    ReconcileRun.objects.create(bridge=bridge, expected=7, note="two polls are missing")

    html = shown(as_alice, page(bridge))

    for words in (
        "Phones scan the code, but the link is never ready.",
        "Update the library to 1.33.2.",
        "Production figures of the system that this one replaces.",
        "a version of its library that is known to be bad",
        "connection refused",
        "40 of 60 within a minute",
        "The links are taken up again by themselves",
        "webjs_9_1_stray",
        "two polls are missing",
    ):
        assert words in html


def test_every_link_of_the_page_leads_somewhere(as_alice: Client, bridge: Bridge) -> None:
    for _text, url in as_alice.get(page(bridge)).context["desk"].links:
        assert as_alice.get(url).status_code == 200


def save(client: Client, bridge: Bridge, **typed: str) -> None:
    form = bridge_form(bridge, "hmac", "") | {"credentials-2-TOTAL_FORMS": 0} | typed
    assert client.post(page(bridge), form).status_code == 302
    bridge.refresh_from_db()


def test_staff_name_the_library_of_a_bridge_that_does_not_say(as_alice: Client, bridge: Bridge) -> None:
    save(as_alice, bridge, library="whatsapp-web.js", version="1.33.2")

    assert (bridge.library, bridge.version) == ("whatsapp-web.js", "1.33.2")


def test_what_a_bridge_says_of_itself_is_not_typed_over(as_alice: Client, bridge: Bridge) -> None:
    Bridge.objects.update(library="whatsapp-web.js", version="1.26.0", last_heartbeat_at=timezone.now())

    save(as_alice, bridge, library="whatsapp-web.js", version="1.33.2", pairings_at_once="2")

    assert (bridge.version, bridge.pairings_at_once) == ("1.26.0", 2)


def test_saving_a_bridge_leaves_what_it_was_heard_to_say(
    as_alice: Client, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat that comes between reading the row and saving it."""
    read = Bridge.full_clean

    def heartbeat_meanwhile(self: Bridge, *args: Any, **kwargs: Any) -> None:
        Bridge.objects.filter(pk=self.pk).update(sessions_reported=7)
        read(self, *args, **kwargs)

    monkeypatch.setattr(Bridge, "full_clean", heartbeat_meanwhile)
    save(as_alice, bridge, capacity="40")

    assert (bridge.capacity, bridge.sessions_reported) == (40, 7)


def test_an_account_says_that_its_bridge_is_silent(as_alice: Client, session: LinkSession) -> None:
    Bridge.objects.update(last_heard_at=timezone.now() - timedelta(minutes=10))

    listed = shown(as_alice, "/admin/accounts/account/")
    assert "bridge unreachable" in listed
    assert "waiting for the scan" in listed
    html = shown(as_alice, f"/admin/accounts/account/{session.account_id}/change/")
    assert "has been silent for 10 m. The status is the last that was known." in html


def test_a_link_on_a_silent_bridge_is_not_called_well(as_alice: Client, session: LinkSession) -> None:
    Account.objects.filter(pk=session.account_id).update(status="connected")
    Bridge.objects.update(last_heard_at=timezone.now() - timedelta(minutes=10))

    desk = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").context["desk"]

    assert (desk.tone, str(desk.diagnosis.todo)[:19]) == ("wait", "Look at the bridge.")


def test_whoever_may_only_view_a_bridge_sees_its_state(as_bob: Callable[..., Client], bridge: Bridge) -> None:
    bob = as_bob("accounts.view_bridge")

    assert "It takes new sessions" in shown(bob, page(bridge))
    assert bob.post(page(bridge), {"capacity": "1"}).status_code == 403
