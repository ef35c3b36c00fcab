"""Every code that the domain writes has its words here."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.translation import override

from accounts.failures import BRIDGE_REASONS
from accounts.jobs import schedules
from accounts.lifecycle import STATUS_AFTER, EndReason, Status
from accounts.models import Account, Incident, LinkSession
from accounts.orders.turns import FAILING
from sessions_admin import labels
from tests.support import ROOT


def triggers() -> set[str]:
    """Those that stand in the code of the domain."""
    modules = [path for app in ("accounts", "api", "webhooks", "linking") for path in (ROOT / app).rglob("*.py")]
    return {found for path in modules for found in re.findall(r'trigger(?:: str)? ?= ?"(\w+)"', path.read_text())}


def test_every_trigger_has_words() -> None:
    assert len(triggers()) > 10
    assert triggers() <= set(labels.TRIGGERS)


def test_every_job_has_words() -> None:
    with override("id"):
        assert not [job.name for job in schedules.JOBS if labels.job(f"job:{job.name}") == job.name]


def test_every_kind_of_incident_says_what_to_do() -> None:
    assert set(Incident.Kind.values) == set(labels.INCIDENTS)


def test_the_timeline_says_what_moved_the_account(as_alice: Client, session: LinkSession) -> None:
    session.account.note(trigger="session_disconnected", session=session, reason="CONFLICT")

    html = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").content.decode()

    assert "connection lost" in html
    assert "Another program of ours used this link at the same time. (CONFLICT)" in html


@pytest.mark.parametrize("reason", ["CONFLICT", "KeepAliveTimeout", "503"])
def test_a_lost_link_says_whose_fault_it_is(as_alice: Client, session: LinkSession, reason: str) -> None:
    Account.objects.filter(pk=session.account_id).update(status=Status.DISCONNECTED)
    LinkSession.objects.filter(pk=session.pk).update(lost_reason=reason)

    desk = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").context["desk"]

    assert desk.diagnosis.meaning == BRIDGE_REASONS[reason].meaning
    assert desk.diagnosis.fault == BRIDGE_REASONS[reason].fault.label


def test_the_end_of_a_link_is_told_by_what_the_bridge_said(as_alice: Client, session: LinkSession) -> None:
    LinkSession.objects.filter(pk=session.pk).update(
        ended_at=timezone.now(), end_reason=EndReason.REFUSED, end_detail="TOS_BLOCK"
    )
    Account.objects.filter(pk=session.account_id).update(status=Status.FAILED)

    html = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").content.decode()

    assert "WhatsApp has blocked this account for breaking its terms of service." in html
    assert "WhatsApp</span>" in html  # where the cause lies


@pytest.mark.parametrize("why", [EndReason.GIVEN_UP, EndReason.QR_EXPIRED])
@pytest.mark.parametrize("said", ["QRScannedWithoutMultidevice", "PairError"])
def test_an_attempt_that_failed_is_told_by_what_the_bridge_said(
    as_alice: Client, session: LinkSession, why: EndReason, said: str
) -> None:
    LinkSession.objects.filter(pk=session.pk).update(ended_at=timezone.now(), end_reason=why, end_detail=said)
    Account.objects.filter(pk=session.account_id).update(status=STATUS_AFTER[why])

    desk = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").context["desk"]

    told = BRIDGE_REASONS[said]
    assert (desk.diagnosis.meaning, desk.diagnosis.todo) == (told.meaning, told.todo)


def test_the_timeline_says_what_ended_a_link_and_what_the_bridge_said(as_alice: Client, session: LinkSession) -> None:
    session.account.note(trigger="session_expired", session=session, reason="session_expired: PairError")

    html = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").content.decode()

    assert "given up by the bridge: The phone scanned the code, but linking failed on our side. (PairError)" in html


@pytest.mark.parametrize(("ago", "is_told"), [(100, True), (130, False)])
def test_a_link_that_is_not_proven_yet_is_told(as_alice: Client, session: LinkSession, ago: int, is_told: bool) -> None:
    then = timezone.now() - timedelta(seconds=ago)
    LinkSession.objects.filter(pk=session.pk).update(authenticated_at=then, connected_at=then)
    Account.objects.filter(pk=session.account_id).update(status=Status.CONNECTED)

    html = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").content.decode()

    assert ("not proven for two minutes yet" in html) == is_told


def test_a_wait_in_line_is_told(as_alice: Client, session: LinkSession) -> None:
    LinkSession.objects.filter(pk=session.pk).update(admitted_at=None)

    html = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").content.decode()

    assert "It waits for its turn on the bridge: place 1 in line." in html


def test_a_link_that_is_lost_says_when_it_is_tried_next(as_alice: Client, session: LinkSession) -> None:
    then = timezone.now() - timedelta(hours=1)
    LinkSession.objects.filter(pk=session.pk).update(authenticated_at=then, connected_at=then)
    Account.objects.filter(pk=session.account_id).update(
        status=Status.DISCONNECTED, status_changed_at=timezone.now() + timedelta(seconds=20)
    )

    html = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").content.decode()

    assert re.search(r"The next try to connect it comes in 3\d s\.", html)


@pytest.fixture
def lost(session: LinkSession) -> LinkSession:
    then = timezone.now() - timedelta(hours=1)
    LinkSession.objects.filter(pk=session.pk).update(authenticated_at=then, connected_at=then)
    Account.objects.filter(pk=session.account_id).update(
        status=Status.DISCONNECTED, current_session=session, status_changed_at=timezone.now()
    )
    return session


def page(client: Client, session: LinkSession) -> str:
    return client.get(f"/admin/accounts/account/{session.account_id}/change/").content.decode()


def test_a_lost_link_says_that_the_desk_only_observes(as_alice: Client, lost: LinkSession, settings: Any) -> None:
    assert "The next try to connect it comes in" in page(as_alice, lost)
    settings.LINKDESK_RECONCILE = "observe"
    assert "This desk only observes (LINKDESK_RECONCILE)" in page(as_alice, lost)


def test_a_lost_link_says_that_several_processes_answer(as_alice: Client, lost: LinkSession) -> None:
    Incident.objects.create(bridge_id=lost.bridge_id, kind="alternating", open_key="x")
    html = page(as_alice, lost)
    assert "Several processes answer for its bridge, alpha." in html
    assert "The next try" not in html


@pytest.mark.parametrize(
    ("lease", "shown"),
    [
        ("bridge:7:starts", "bridge 7: starts"),
        ("bridge:7:others", "bridge 7: other orders"),
        ("poll of bridge 7", "bridge 7: asking how it is"),
        ("reconcile of bridge 7", "bridge 7: comparing it with the record"),
        ("recovery of bridge 7", "bridge 7: recovering lost links"),
        (FAILING, "orders to bridges that fail"),
        ("job:end overdue pairings", "end overdue pairings"),
        ("something 7 else", "something 7 else"),
    ],
)
def test_what_holds_a_lease_has_words(lease: str, shown: str) -> None:
    assert labels.job(lease) == shown
