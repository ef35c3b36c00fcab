"""A bridge and its twelve links, and the QR codes that it shows for some of them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession, Workspace
from tests.support.links import QR
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal, make_bridge


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    long_ago = timezone.now() - timedelta(days=2)
    return make_bridge("alpha", url=node.url, pairings_at_once=50, last_heard_at=timezone.now(), heard_since=long_ago)


@pytest.fixture
def twelve(workspace: Workspace, bridge: Bridge, node: MisbehavingBridge) -> list[LinkSession]:
    """Linked since an hour ago."""
    ago = timezone.now() - timedelta(hours=1)
    since = {"started_at": ago, "first_qr_at": ago, "authenticated_at": ago, "connected_at": ago, "last_seen_at": ago}
    sessions = []
    for number in range(12):
        phone = f"62811000000{number:02d}"
        account = Account.objects.create(workspace=workspace, phone_number=phone, status=Status.CONNECTED)
        sessions.append(LinkSession.objects.create(session_id=f"s{number}", account=account, bridge=bridge, **since))
        Account.objects.filter(pk=account.pk).update(current_session=sessions[-1], status_changed_at=ago)
    lists(node, sessions)
    return sessions


def lists(node: MisbehavingBridge, sessions: list[LinkSession], *, codes: int = 0) -> None:
    """The first `codes` of them as waiting for a scan."""
    names = [session.session_id for session in sessions]
    node.running = set(names)
    node.says = {name: "qr_scanning" if place < codes else "connected" for place, name in enumerate(names)}


def show_codes(portal: Portal, sessions: list[LinkSession]) -> None:
    for session in sessions:
        assert portal.post("qr_code_generated", session, **QR).json()["outcome"] == "qr_after_scan"
