"""Links that were lost and are expected back, at a bridge that is heard of, and the time that passes since."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import (
    Account,
    AccountNotice,
    Bridge,
    BridgeOrder,
    Lease,
    LinkLoss,
    LinkMove,
    LinkSession,
    Transition,
    Workspace,
)
from accounts.models.session import new_session_id
from accounts.reconcile import recovery
from tests.support.links import link, move_back
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks

DROP = {"reason": "NAVIGATION"}


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    return make_bridge("alpha", url=node.url, last_heard_at=timezone.now(), heard_since=timezone.now())


@pytest.fixture
def linked(portal: Portal, session: LinkSession, node: MisbehavingBridge) -> LinkSession:
    """Linked since yesterday, and heard of all the time."""
    run_due_tasks()
    link(portal, session)
    move_back(session, 86400)
    Bridge.objects.update(heard_since=timezone.now() - timedelta(days=2))
    node.running, node.seen = {session.session_id}, []
    return session


def pass_time(seconds: float) -> None:
    """As if it all had happened so much earlier; the bridge is heard of all the time."""
    shift = timedelta(seconds=seconds)
    Account.objects.update(status_changed_at=F("status_changed_at") - shift)
    BridgeOrder.objects.update(created_at=F("created_at") - shift, due_at=F("due_at") - shift)
    LinkMove.objects.update(started_at=F("started_at") - shift, state_changed_at=F("state_changed_at") - shift)
    Transition.objects.update(created_at=F("created_at") - shift)
    LinkSession.objects.update(last_connected_at=F("last_connected_at") - shift, last_lost_at=F("last_lost_at") - shift)
    LinkLoss.objects.update(at=F("at") - shift)
    AccountNotice.objects.update(since=F("since") - shift, last_at=F("last_at") - shift, until=F("until") - shift)
    Lease.objects.update(until=F("until") - shift)
    Bridge.objects.update(last_heard_at=timezone.now())


def recover(bridge: Bridge) -> None:
    recovery.run(bridge.pk)
    run_due_tasks()


def lose(portal: Portal, session: LinkSession, node: MisbehavingBridge, *, listed: str = "disconnected") -> None:
    portal.post("session_disconnected", session, **DROP)
    node.says = {session.session_id: listed}


def orders_of(session: LinkSession) -> list[str]:
    recent = session.orders.filter(why=BridgeOrder.Why.RECOVERY).order_by("pk")
    return list(recent.values_list("kind", flat=True))


def lost_links(bridge: Bridge, workspace: Workspace, count: int) -> list[LinkSession]:
    """Linked yesterday, and lost one after the other, the first one an hour ago."""
    now, made = timezone.now(), []
    for number in range(count):
        account = Account.objects.create(workspace=workspace, phone_number=f"62811000{number:04}")
        session = LinkSession.objects.create(
            session_id=new_session_id(workspace.pk), account=account, bridge=bridge,
            authenticated_at=now - timedelta(days=1), connected_at=now - timedelta(days=1),
        )  # fmt: skip
        lost_at = now - timedelta(hours=1) + timedelta(seconds=number)
        Account.objects.filter(pk=account.pk).update(
            status=Status.DISCONNECTED, status_changed_at=lost_at, current_session=session
        )
        made.append(session)
    return made
