"""Why a session is gone from its bridge's list: the history says that the bridge was started anew only where it was."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession
from accounts.reconcile import run
from tests.support.links import status_of
from tests.support.lists import bridge, linked, poll, row, shows
from tests.support.misbehaving import MisbehavingBridge
from tests.support.queue import run_due_tasks

__all__ = ["bridge", "linked"]

pytestmark = pytest.mark.django_db


def time_passes(seconds: float) -> None:
    shift = timedelta(seconds=seconds)
    for account in Account.objects.all():
        Account.objects.filter(pk=account.pk).update(status_changed_at=account.status_changed_at - shift)
    for session in LinkSession.objects.exclude(last_seen_at=None):
        assert session.last_seen_at is not None
        LinkSession.objects.filter(pk=session.pk).update(last_seen_at=session.last_seen_at - shift)
    for each in Bridge.objects.exclude(booted_at=None):
        assert each.booted_at is not None
        Bridge.objects.filter(pk=each.pk).update(booted_at=each.booted_at - shift)


def is_listed_for(node: MisbehavingBridge, seconds: int, *rows: object, booted: int) -> None:
    """Polled each half minute for so long, by a bridge that was started so many seconds ago."""
    for passed in range(0, seconds, 30):
        shows(node, *rows, uptime=booted + passed)
        poll()
        run_due_tasks()
        time_passes(30)


def reason_of_the_loss(session: LinkSession) -> str:
    return session.account.transitions.filter(new=Status.DISCONNECTED).latest("pk").reason


@pytest.mark.parametrize("booted", [90, 200, 400])
def test_one_that_somebody_deleted_after_the_start_did_not_go_with_it(
    linked: LinkSession, node: MisbehavingBridge, booted: int
) -> None:
    is_listed_for(node, 120, row(linked), booted=booted)
    assert status_of(linked.account) == Status.CONNECTED
    is_listed_for(node, 150, booted=booted + 120)
    assert reason_of_the_loss(linked) == run.ABSENT


@pytest.mark.parametrize("booted", [90, 200, 400])
def test_one_that_the_start_has_not_brought_back_did(linked: LinkSession, node: MisbehavingBridge, booted: int) -> None:
    Bridge.objects.update(booted_at=timezone.now() - timedelta(hours=5), last_polled_at=timezone.now())
    is_listed_for(node, 150, booted=booted)
    assert reason_of_the_loss(linked) == run.NOT_RESTORED


def test_long_after_the_start_nobody_speaks_of_it(linked: LinkSession, node: MisbehavingBridge) -> None:
    is_listed_for(node, 60, row(linked), booted=3600)
    is_listed_for(node, 150, booted=3700)
    assert reason_of_the_loss(linked) == run.ABSENT


def test_of_two_that_are_gone_each_has_its_own_reason(
    linked: LinkSession, node: MisbehavingBridge, bridge: Bridge
) -> None:
    """One came back with the start and was deleted then, the other never came."""
    other = Account.objects.create(workspace=linked.account.workspace, status=Status.CONNECTED, phone_number="62811")
    long_ago = timezone.now() - timedelta(hours=2)
    lost = LinkSession.objects.create(
        session_id="webjs_1_1763600000_lost0000", account=other, bridge=bridge, last_seen_at=long_ago,
        started_at=long_ago, authenticated_at=long_ago, connected_at=long_ago,
    )  # fmt: skip
    Account.objects.filter(pk=other.pk).update(current_session=lost, status_changed_at=long_ago)
    is_listed_for(node, 60, row(linked), booted=90)
    is_listed_for(node, 240, booted=150)
    assert reason_of_the_loss(linked) == run.ABSENT
    assert reason_of_the_loss(lost) == run.NOT_RESTORED
