"""What a bridge says that it runs, by heartbeat or when it is asked, and the links that it may name."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.bridges.client import Running
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, Incident, LinkSession
from accounts.reconcile import polling, run
from accounts.reconcile.said import Said
from tests.support.links import link, move_back
from tests.support.misbehaving import Conversation, MisbehavingBridge, Seen
from tests.support.portal import Portal, make_bridge
from tests.support.signing import signed_headers

SAID = {"library": "whatsmeow", "version": "0.5.2", "capacity": 250, "capabilities": ["qr", "logout"]}


def beat(*running: str, secret: str = "alpha", **more: Any) -> Any:
    sessions = [{"session_id": session_id, "status": "connected"} for session_id in running]
    raw, headers = signed_headers(f"{secret}-hmac", SAID | {"sessions": sessions} | more)
    return Client().post("/api/whatsapp/bridges/heartbeat", raw, "application/json", headers=headers)


def advice(*running: str, **more: Any) -> tuple[list[str], list[str]]:
    answer = beat(*running, **more)
    assert answer.status_code == 200, answer.content
    return answer.json()["stop"], [row["session_id"] for row in answer.json()["restore"]]


def missing_twice() -> None:
    """As if two lists had not named it."""
    LinkSession.objects.update(absent_polls=2)


@pytest.fixture
def linked(portal: Portal, session: LinkSession) -> LinkSession:
    """Connected an hour ago, and not heard of since."""
    link(portal, session)
    move_back(session, 3600)
    session.orders.update(state=BridgeOrder.State.CONFIRMED, created_at=timezone.now() - timedelta(hours=1))
    LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    session.refresh_from_db()
    return session


def crowd(linked: LinkSession, size: int) -> list[str]:
    """As many links more on the same bridge."""
    ids = [f"s{number}" for number in range(size)]
    long_ago = timezone.now() - timedelta(hours=2)
    accounts = [Account(workspace=linked.account.workspace, status=Status.CONNECTED) for _ in ids]
    Account.objects.bulk_create(accounts)
    values = {"bridge": linked.bridge, "started_at": long_ago, "authenticated_at": long_ago, "connected_at": long_ago}
    pairs = zip(ids, Account.objects.filter(current_session=None), strict=True)
    LinkSession.objects.bulk_create(LinkSession(session_id=name, account=account, **values) for name, account in pairs)
    Account.objects.update(status_changed_at=long_ago)
    return ids


def row(session: LinkSession | str, said: Any = "connected", **more: Any) -> dict[str, Any]:
    return {"session_id": str(session), "status": said, **more}


def shows(node: MisbehavingBridge, *rows: Any, uptime: float | None = 3600, **health: Any) -> None:
    """What its /health and its list say from now on."""

    def answer(talk: Conversation, seen: Seen) -> None:
        if seen.path == "/health":
            talk.answer(200, {"status": "healthy", "uptime": uptime, **health})
        else:
            talk.answer(200, {"success": True, "sessions": rows, "total": len(rows)})

    node.lists = answer


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    return make_bridge("alpha", url=node.url)


def open_kinds(bridge: Bridge) -> set[str]:
    return set(Incident.objects.filter(bridge=bridge, closed_at=None).values_list("kind", flat=True))


def poll(*bridges: Bridge) -> None:
    for each in bridges or Bridge.objects.order_by("pk"):
        polling.poll(each.pk)


def settle(seconds: float = 3600) -> None:
    """As if nothing had moved for so long."""
    long_ago = timezone.now() - timedelta(seconds=seconds)
    Account.objects.update(status_changed_at=long_ago)
    LinkSession.objects.update(last_seen_at=long_ago)


def compare(bridge: Bridge, listed: Mapping[str, Running]) -> None:
    run.run(bridge, Said(listed=listed))
