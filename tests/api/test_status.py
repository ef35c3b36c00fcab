"""GET status: its shape, whose it is, and that it asks no more of the database for more accounts."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession, Workspace
from accounts.pairing import attempts
from tests.api.conftest import PHONE, Program
from tests.support.links import QR, READY
from tests.support.portal import Portal

pytestmark = pytest.mark.django_db

MINUTE = timedelta(seconds=61)  # in which the first code must come


def link(portal: Portal, session: LinkSession) -> None:
    for event, more in (("qr_code_generated", QR), ("session_authenticated", {}), ("session_ready", READY)):
        portal.post(event, session, **more)


def test_an_empty_workspace(asks: Program, workspace: Workspace) -> None:
    data = asks.get("status").json()["data"]
    assert data["service"]["manager"] == {
        "isPairing": False,
        "isPaired": False,
        "pairingStartTime": None,
        "currentDeviceId": None,
        "activeConnections": 0,
        "active_sessions": 0,
    }
    assert data["service"]["bridges"] == []
    assert data["service"]["database"] == "up"
    assert set(data["service"]["queue"]) == {"state", "seconds_late", "waiting", "lanes"}
    assert data["tenant"] == {
        "workspace_id": workspace.pk,
        "name": "Toko Alice",
        "accounts": 0,
        "by_status": dict.fromkeys(Status.values, 0),
    }
    assert data["accounts"] == []


def test_one_linked_and_one_pairing(
    asks: Program, workspace: Workspace, account: Account, session: LinkSession, portal: Portal
) -> None:
    link(portal, session)
    LinkSession.objects.update(device_jid="6281167328422:28@s.whatsapp.net")
    other = Account.objects.create(workspace=workspace, phone_number=PHONE, label="Budi")
    started = attempts.start(other.pk, trigger="test")
    data = asks.get("status").json()["data"]
    manager = data["service"]["manager"]
    assert manager.pop("pairingStartTime")[:19] == started.started_at.isoformat()[:19]
    assert manager == {
        "isPairing": True,
        "isPaired": True,
        "currentDeviceId": "6281167328422:28@s.whatsapp.net",
        "activeConnections": 1,
        "active_sessions": 2,
    }
    assert [(row["label"], row["status"]) for row in data["accounts"]] == [
        ("Alice", "connected"),
        ("Budi", "qr_scanning"),
    ]
    assert data["accounts"][1]["session_id"] == started.session_id
    assert (data["tenant"]["accounts"], data["tenant"]["by_status"]["connected"]) == (2, 1)
    assert data["service"]["bridges"][0]["active_sessions"] == 2


def test_a_lapsed_attempt_is_shown_as_lapsed(asks: Program, account: Account, session: LinkSession) -> None:
    LinkSession.objects.update(started_at=F("started_at") - MINUTE, admitted_at=F("admitted_at") - MINUTE)
    data = asks.get("status").json()["data"]
    assert data["accounts"][0]["status"] == "failed"
    assert data["tenant"]["by_status"]["failed"] == 1
    assert data["service"]["manager"]["isPairing"] is False
    assert data["service"]["manager"]["pairingStartTime"] is None


def test_a_scan_that_was_never_finished_is_shown_as_lapsed(
    asks: Program, account: Account, session: LinkSession, portal: Portal
) -> None:
    portal.post("session_authenticated", session)
    Account.objects.update(status=Status.DISCONNECTED)
    long_ago = timezone.now() - timedelta(seconds=91)
    LinkSession.objects.update(started_at=long_ago, authenticated_at=long_ago)
    assert asks.get("status").json()["data"]["accounts"][0]["status"] == "failed"


def test_what_is_deleted_or_anothers_is_not_counted(asks: Program, workspace: Workspace, bridge: Bridge) -> None:
    Account.objects.create(workspace=workspace, deleted_at=timezone.now())
    foreign = Account.objects.create(workspace=Workspace.objects.create(name="Toko Mallory"))
    attempts.start(foreign.pk, trigger="test")
    data = asks.get("status").json()["data"]
    assert data["accounts"] == []
    assert data["service"]["manager"]["active_sessions"] == 0
    assert data["service"]["bridges"][0]["active_sessions"] == 0


def test_the_number_of_queries_does_not_grow(asks: Program, workspace: Workspace, bridge: Bridge) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert asks.get("status").status_code == 200
        return len(seen)

    def grow(count: int) -> None:
        accounts: list[Any] = Account.objects.bulk_create(
            Account(workspace=workspace, status=Status.CONNECTED) for _ in range(count)
        )
        for account in accounts:
            session = LinkSession.objects.create(session_id=f"s{account.pk}", account=account, bridge=bridge)
            Account.objects.filter(pk=account.pk).update(current_session=session)
        attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        long_ago = timezone.now() - timedelta(minutes=5)
        LinkSession.objects.update(started_at=long_ago, admitted_at=long_ago)

    grow(1)
    queries()  # notes the use of the token
    few = queries()
    grow(50)
    Bridge.objects.create(name="beta", url="http://127.0.0.1:2")
    assert queries() == few <= 10
