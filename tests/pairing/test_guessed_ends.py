"""Soft ends: where the bridge lists a link, it is taken back instead of stopped."""

import pytest
from django.utils import timezone

from accounts.lifecycle import ACTION_WITHIN, FIRST_QR_WITHIN, SOFT_STOP_AFTER, EndReason, Status
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.pairing import attempts
from tests.support.links import move_back, status_of
from tests.support.losses import bridge
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks

__all__ = ["bridge"]

pytestmark = pytest.mark.django_db(transaction=True)


def stop(node: MisbehavingBridge, session: LinkSession, *, listed: str) -> bool:
    """Whether the bridge was told to, when the time for it had come."""
    node.running, node.says = {session.session_id}, {session.session_id: listed}
    BridgeOrder.objects.filter(kind=BridgeOrder.Kind.STOP).update(due_at=timezone.now())
    run_due_tasks(within=SOFT_STOP_AFTER + 1)
    return ("DELETE", f"/api/sessions/{session.session_id}") in node.commands


@pytest.mark.parametrize("listed", ["authenticated", "connected"])
def test_an_attempt_that_a_restored_backup_has_before_its_first_code(
    node: MisbehavingBridge, account: Account, session: LinkSession, listed: str
) -> None:
    move_back(session, FIRST_QR_WITHIN + 1)
    attempts.expire(session.pk)
    session.refresh_from_db()
    assert session.end_reason == EndReason.BRIDGE_UNAVAILABLE
    assert not stop(node, session, listed=listed)
    assert status_of(account) in {Status.AUTHENTICATED, Status.CONNECTED}


def test_one_whose_question_on_the_phone_was_answered_unheard(
    node: MisbehavingBridge, portal: Portal, account: Account, session: LinkSession
) -> None:
    portal.post("session_action_required", session, kind="passkey", message="Confirm on the phone")
    move_back(session, ACTION_WITHIN + 1)
    attempts.expire(session.pk)
    session.refresh_from_db()
    assert session.end_reason == EndReason.ACTION_NOT_TAKEN
    assert not stop(node, session, listed="connected")
    assert status_of(account) in {Status.AUTHENTICATED, Status.CONNECTED}


def test_one_that_nobody_scanned_is_stopped_at_once(
    node: MisbehavingBridge, account: Account, session: LinkSession
) -> None:
    move_back(session, FIRST_QR_WITHIN + 1)
    attempts.expire(session.pk)
    assert session.orders.get(kind=BridgeOrder.Kind.STOP).due_at <= timezone.now()
    assert stop(node, session, listed="qr_scanning")
    assert status_of(account) == Status.FAILED
