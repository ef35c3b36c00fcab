"""A bridge that goes back to an older program: staff allow version 1 of the signature on its page."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from accounts.models import Bridge, LinkSession, User
from tests.support.refusals import post
from tests.support.signing import signed_headers, signed_headers_2

OFFER = "Allow signature version 1"


@pytest.fixture
def shown(session: LinkSession) -> Bridge:
    """One that has signed by version 2."""
    body = {"event": "session_reconnected", "data": {"session_id": session.session_id}}
    assert post(*signed_headers_2("alpha-hmac", body, event_id="e1")).status_code == 200
    session.bridge.refresh_from_db()
    return session.bridge


def address(bridge: Bridge) -> str:
    return f"/admin/accounts/bridge/{bridge.pk}"


def allow(client: Client, bridge: Bridge) -> Any:
    return client.post(f"{address(bridge)}/allow_version_1/", {"_form_submitted": "on"})


def by_version_1(session: LinkSession) -> int:
    body = {"event": "session_authenticated", "data": {"session_id": session.session_id}}
    return int(post(*signed_headers("alpha-hmac", body)).status_code)


def test_its_page_says_since_when_and_offers_the_way_back(as_alice: Client, shown: Bridge) -> None:
    html = as_alice.get(f"{address(shown)}/change/").content.decode()
    assert "Signs by version 2 since" in html
    assert OFFER in html


def test_one_that_signs_by_version_1_has_neither(as_alice: Client, bridge: Bridge) -> None:
    html = as_alice.get(f"{address(bridge)}/change/").content.decode()
    assert "Signs by version 2 since" not in html
    assert OFFER not in html


def test_version_1_is_taken_again_and_it_is_noted_who_allowed_it(
    as_alice: Client, alice: User, shown: Bridge, session: LinkSession
) -> None:
    assert by_version_1(session) == 401
    assert allow(as_alice, shown).status_code == 302
    assert by_version_1(session) == 200
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, entry.change_message) == (
        alice,
        str(shown.pk),
        "Allowed version 1 of the signature again.",
    )


def test_twice_is_once(as_alice: Client, shown: Bridge) -> None:
    allow(as_alice, shown)
    assert allow(as_alice, shown).status_code == 302
    assert LogEntry.objects.count() == 1


def test_a_look_changes_nothing(as_alice: Client, shown: Bridge) -> None:
    assert as_alice.get(f"{address(shown)}/allow_version_1/").status_code == 200
    shown.refresh_from_db()
    assert shown.version_2_since is not None


@pytest.mark.parametrize("labels", [[], ["accounts.view_bridge"], ["accounts.change_bridge"]], ids=str)
def test_whoever_may_not_change_a_bridge_may_not_allow_it(
    as_bob: Callable[..., Client], shown: Bridge, session: LinkSession, labels: list[str]
) -> None:
    answer = allow(as_bob(*labels), shown)
    allowed = labels == ["accounts.change_bridge"]  # Django lets whoever may change a row view it
    assert answer.status_code == (302 if allowed else 403)
    assert by_version_1(session) == (200 if allowed else 401)


def test_saving_the_form_beside_it_allows_nothing(shown: Bridge) -> None:
    before = shown.version_2_since
    shown.save(update_fields=["name"])
    shown.refresh_from_db()
    assert shown.version_2_since == before
    assert before is not None
    assert before <= timezone.now()
