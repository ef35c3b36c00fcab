"""Replaying from the admin: what it says, for each state."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession
from tests.support.links import status_of
from tests.support.portal import PHONE
from webhooks.models import UnmatchedTraffic, WebhookEvent

State = WebhookEvent.State


@pytest.fixture
def event(session: LinkSession) -> WebhookEvent:
    return WebhookEvent.objects.create(
        bridge_id=session.bridge_id,
        session=session,
        event="session_ready",
        payload={"phone_number": PHONE},
        replay_key="r1",
        state=State.DEAD,
        attempts=8,
        finished_at=timezone.now(),
    )


def press(client: Client, event: WebhookEvent) -> Any:
    url = reverse("admin:webhooks_webhookevent_replay", args=[event.pk])
    return client.post(url, {"_form_submitted": "on"}, follow=True).content.decode()


@pytest.mark.parametrize("state", [State.DEAD, State.FAILED])
def test_what_failed_is_applied(as_alice: Client, event: WebhookEvent, account: Account, state: State) -> None:
    WebhookEvent.objects.update(state=state)
    assert "The event was applied." in press(as_alice, event)
    assert status_of(account) == Status.CONNECTED


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.APPLIED, "never applied twice"),
        (State.IGNORED, "moved nothing, for the reason given"),
        (State.RECEIVED, "being worked on"),
    ],
)
def test_all_others_say_why_not(
    as_alice: Client, event: WebhookEvent, account: Account, state: State, words: str
) -> None:
    WebhookEvent.objects.update(state=state, due_at=timezone.now() + timedelta(seconds=9))
    assert words in press(as_alice, event)
    assert status_of(account) == Status.QR_SCANNING


def test_a_fault_that_is_still_there_is_said(as_alice: Client, event: WebhookEvent) -> None:
    WebhookEvent.objects.update(payload=["no object, as an older version may have kept it"])
    assert "It failed again." in press(as_alice, event)


def test_only_with_permission(as_bob: Callable[..., Client], event: WebhookEvent, account: Account) -> None:
    press(as_bob("webhooks.view_webhookevent"), event)
    assert status_of(account) == Status.QR_SCANNING


def test_what_was_only_counted_says_why_not(as_alice: Client, bridge: Bridge) -> None:
    row = UnmatchedTraffic.objects.create(bridge=bridge, session_id="gone", event="x", reason="unknown_session")
    page = as_alice.get(reverse("admin:webhooks_unmatchedtraffic_change", args=[row.pk])).content.decode()
    assert "Not possible: such events are counted, not kept." in page
