"""Five in the line before a bridge that pairs two at once."""

import pytest
from django_q.models import OrmQ

from accounts import snapshots, tasks
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Workspace
from accounts.pairing import attempts
from accounts.snapshots import View

START, STOP = BridgeOrder.Kind.START, BridgeOrder.Kind.STOP


@pytest.fixture
def bridge(bridge: Bridge) -> Bridge:
    """It pairs two at once; its address is nobody's, so that orders stay where they are."""
    Bridge.objects.update(pairings_at_once=2)
    bridge.refresh_from_db()
    return bridge


@pytest.fixture
def line(workspace: Workspace, bridge: Bridge) -> list[LinkSession]:
    """Five, of whom the last three wait."""
    accounts = [Account.objects.create(workspace=workspace) for _ in range(5)]
    return [attempts.start(account.pk, trigger="test") for account in accounts]


def seen(session: LinkSession) -> tuple[View, int]:
    snapshot = snapshots.take(session.account_id)
    return snapshot["view"], snapshot["place"]


def places(sessions: list[LinkSession]) -> list[int]:
    return [seen(session)[1] for session in sessions]


def starts() -> int:
    return BridgeOrder.objects.filter(kind=START).count()


def run_line_tasks(bridge: Bridge) -> None:
    """The tasks of the line only: the orders' own would ask a bridge that is not there."""
    OrmQ.objects.all().delete()
    tasks.advance_line(bridge.pk)
