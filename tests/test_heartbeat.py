"""POST bridges/heartbeat: what a bridge is and runs; it is advised, and no status moves."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import heartbeats, pairing
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Transition, Workspace
from tests.conftest import Portal, make_bridge
from tests.signing import signed_headers
from tests.test_webhook_contract import link, move_back, status_of
from webhooks.authentication import forget_secrets

SAID = {"library": "whatsmeow", "version": "0.5.2", "capacity": 250, "capabilities": ["qr", "logout"]}


def beat(*running: str, secret: str = "alpha", **more: Any) -> Any:
    sessions = [{"session_id": session_id, "status": "connected"} for session_id in running]
    raw, headers = signed_headers(f"{secret}-hmac", SAID | {"sessions": sessions} | more)
    return Client().post("/api/whatsapp/bridges/heartbeat", raw, "application/json", headers=headers)


def advice(*running: str, **more: Any) -> tuple[list[str], list[str]]:
    answer = beat(*running, **more)
    assert answer.status_code == 200, answer.content
    return answer.json()["stop"], [row["session_id"] for row in answer.json()["restore"]]


@pytest.fixture
def linked(portal: Portal, session: LinkSession) -> LinkSession:
    """Connected an hour ago, and not heard of since."""
    link(portal, session)
    move_back(session, 3600)
    session.orders.update(state=BridgeOrder.State.CONFIRMED)
    LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    session.refresh_from_db()
    return session


class TestRecord:
    def test_what_the_bridge_is(self, bridge: Bridge) -> None:
        assert beat("unknown").json() == {"success": True, "stop": [], "restore": []}
        bridge.refresh_from_db()
        assert (bridge.library, bridge.version, bridge.capacity) == ("whatsmeow", "0.5.2", 250)
        assert bridge.capabilities == ["qr", "logout"]
        assert bridge.sessions_reported == 1
        assert bridge.last_heartbeat_at == bridge.last_heard_at
        assert bridge.last_heard_at is not None

    def test_what_it_does_not_say_stays(self, bridge: Bridge) -> None:
        beat()
        assert beat(capacity=None, capabilities=None, version="0.5.3").status_code == 200
        bridge.refresh_from_db()
        assert (bridge.version, bridge.capacity, bridge.capabilities) == ("0.5.3", 250, ["qr", "logout"])

    def test_which_sessions_were_seen(self, linked: LinkSession, account: Account) -> None:
        before = status_of(account), account.version, Transition.objects.count()
        assert advice(linked.session_id) == ([], [])
        linked.refresh_from_db()
        assert linked.last_seen_at is not None
        assert linked.last_seen_at > timezone.now() - timedelta(seconds=5)
        assert (status_of(account), account.version, Transition.objects.count()) == before

    @pytest.mark.parametrize(
        "change",
        [
            {"sessions": None},
            {"sessions": [{"status": "connected"}]},
            {"sessions": ["webjs_1"]},
            {"sessions": [{"session_id": "x" * 192}]},
            {"sessions": [{"session_id": ""}]},
            {"capacity": -1},
            {"capacity": 10**7},
            {"capacity": "many"},
            {"capabilities": "qr"},
            {"capabilities": ["x" * 41]},
            {"capabilities": ["qr"] * 33},
            {"library": None},
            {"library": "x" * 61},
            {"version": "x" * 41},
        ],
    )
    def test_what_is_out_of_range(self, bridge: Bridge, change: dict[str, Any]) -> None:
        raw, headers = signed_headers("alpha-hmac", SAID | {"sessions": []} | change)
        answer = Client().post("/api/whatsapp/bridges/heartbeat", raw, "application/json", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_FIELD")
        bridge.refresh_from_db()
        assert bridge.last_heartbeat_at is None


class TestStop:
    def test_what_has_ended_here(self, linked: LinkSession) -> None:
        pairing.force_reset(linked.account_id)
        assert advice(linked.session_id, "unknown") == ([linked.session_id], [])

    def test_never_what_is_unknown_or_open_or_of_another_bridge(self, linked: LinkSession) -> None:
        make_bridge("beta")
        forget_secrets()
        assert advice("unknown", linked.session_id.upper(), linked.session_id) == ([], [])
        pairing.force_reset(linked.account_id)
        assert advice(linked.session_id, secret="beta") == ([], [])

    def test_nor_of_a_workspace_that_it_does_not_serve(self, linked: LinkSession) -> None:
        pairing.force_reset(linked.account_id)
        linked.bridge.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        assert advice(linked.session_id) == ([], [])

    def test_a_soft_end_may_still_be_taken_back(self, session: LinkSession) -> None:
        pairing.start(session.account_id, trigger="test", force=True)
        assert advice(session.session_id)[0] == []
        move_back(session, heartbeats.SOFT_END_SETTLED + 1)
        assert advice(session.session_id)[0] == [session.session_id]

    def test_too_many_at_once_are_none(self, workspace: Workspace, bridge: Bridge) -> None:
        """Rule 12: then it is rather we who are wrong."""
        account = Account.objects.create(workspace=workspace)
        ended = {"account": account, "bridge": bridge, "ended_at": timezone.now(), "end_reason": "reset"}
        ids = [LinkSession.objects.create(session_id=f"s{number}", **ended).session_id for number in range(6)]
        assert advice(*ids[:3])[0] == ids[:3]
        assert advice(*ids[:4])[0] == []
        others = [f"unknown{number}" for number in range(96)]
        assert advice(*ids[:5], *others)[0] == ids[:5]
        assert advice(*ids, *others)[0] == []


class TestRestore:
    def test_what_should_run_and_does_not(self, linked: LinkSession) -> None:
        answer = beat("unknown")
        row = {"id": linked.account_id, "session_id": linked.session_id}
        assert answer.json()["restore"] == [row | {"workspace_id": linked.account.workspace_id}]
        assert status_of(linked.account) == Status.CONNECTED

    def test_never_what_would_show_a_code_to_nobody(self, session: LinkSession) -> None:
        move_back(session, 3600)
        assert advice() == ([], [])

    def test_three_heartbeats_without_it_make_it_absent(self, linked: LinkSession) -> None:
        """Several processes behind one address answer in turn."""
        assert advice(linked.session_id) == ([], [])
        assert advice() == ([], [])
        LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(seconds=heartbeats.ABSENT_AFTER + 1))
        assert advice() == ([], [linked.session_id])

    def test_not_in_quiet_time(self, linked: LinkSession) -> None:
        LinkSession.objects.update(authenticated_at=timezone.now() - timedelta(seconds=100))
        assert advice() == ([], [])

    def test_not_what_has_just_moved(self, portal: Portal, linked: LinkSession) -> None:
        portal.post("session_disconnected", linked, reason="NAVIGATION")
        LinkSession.objects.update(last_seen_at=None)
        assert advice() == ([], [])
        Account.objects.update(status_changed_at=timezone.now() - timedelta(minutes=5))
        assert advice() == ([], [linked.session_id])

    @pytest.mark.parametrize("state", BridgeOrder.UNDER_WAY)
    def test_not_what_an_order_is_under_way_for(self, linked: LinkSession, state: str) -> None:
        linked.orders.update(state=state)
        assert advice() == ([], [])

    def test_not_what_has_ended_or_is_of_another_bridge(self, linked: LinkSession) -> None:
        make_bridge("beta")
        forget_secrets()
        assert advice(secret="beta") == ([], [])
        pairing.force_reset(linked.account_id)
        assert advice() == ([], [])


def test_it_asks_as_often_for_a_thousand_as_for_one(
    linked: LinkSession, django_assert_num_queries: Callable[[int], Any]
) -> None:
    ids = [f"s{number}" for number in range(1_000)]
    accounts = [Account(workspace=linked.account.workspace, status=Status.CONNECTED) for _ in ids]
    Account.objects.bulk_create(accounts)
    long_ago = timezone.now() - timedelta(hours=2)
    values = {"bridge": linked.bridge, "started_at": long_ago, "authenticated_at": long_ago}
    pairs = zip(ids, Account.objects.filter(current_session=None), strict=True)
    sessions = [LinkSession(session_id=name, account=account, **values) for name, account in pairs]
    LinkSession.objects.bulk_create(sessions)
    Account.objects.update(status_changed_at=long_ago)
    beat("warm")
    LinkSession.objects.update(last_seen_at=None)
    with django_assert_num_queries(4):  # two updates in their transactions, the stops, the restores
        assert len(advice(*ids[:500])[1]) == 501
    LinkSession.objects.exclude(pk=linked.pk).delete()
    with django_assert_num_queries(4):
        advice(*ids[:500])
