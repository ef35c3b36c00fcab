"""POST bridges/heartbeat: what a bridge is and runs, and what it is answered."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, Incident, LinkSession, Transition, Workspace
from accounts.pairing import attempts
from accounts.pairing.attempts import May
from accounts.reconcile import diff, relocation, run
from tests.support.links import move_back, status_of
from tests.support.lists import SAID, advice, beat, crowd, linked, missing_twice
from tests.support.portal import PHONE, Portal, make_bridge
from tests.support.signing import signed_headers
from webhooks.authentication import forget_secrets

__all__ = ["linked"]

QUERIES = 21  # of a heartbeat, whatever it lists; one asks again whose the unknown ones are


UNREADABLE: dict[str, list[Any]] = {
    "capacity": [-1, 10**7, "many", 19.5, None, [], True],
    "capabilities": ["qr", {}, 5, None],
    "library": [None, [], True, ""],
    "version": [None, {}, False],
    "boot": [None, [], {}, "x" * 65, True],
    "draining": [None, "perhaps", [], 7],
}


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

    @pytest.mark.parametrize(
        "change",
        [
            *({name: told} for name, values in UNREADABLE.items() for told in values),
        ],
        ids=str,
    )
    def test_what_cannot_be_read_costs_no_heartbeat_and_leaves_what_was_said(
        self, bridge: Bridge, linked: LinkSession, change: dict[str, Any]
    ) -> None:
        beat(linked.session_id, boot="boot-a")
        LinkSession.objects.update(last_seen_at=None)
        told: dict[str, Any] = {"boot": "boot-a"} | change
        assert beat(linked.session_id, **told).status_code == 200
        bridge.refresh_from_db()
        assert (bridge.library, bridge.version, bridge.capacity) == ("whatsmeow", "0.5.2", 250)
        assert (bridge.capabilities, bridge.boot, bridge.says_draining) == (["qr", "logout"], "boot-a", False)
        linked.refresh_from_db()
        assert linked.last_seen_at is not None

    def test_what_is_too_long_is_cut(self, bridge: Bridge) -> None:
        told: dict[str, Any] = {
            "library": "é" * 61,
            "version": "v" * 41,
            "capabilities": ["qr", 5, "x" * 41, "", *["logout"] * 40],
        }
        assert beat(**told).status_code == 200
        bridge.refresh_from_db()
        assert (bridge.library, bridge.version) == ("é" * 60, "v" * 40)
        assert bridge.capabilities == ["qr", *["logout"] * 31]

    def test_only_the_list_must_be_there(self, bridge: Bridge) -> None:
        raw, headers = signed_headers("alpha-hmac", {"sessions": []})
        answer = Client().post("/api/whatsapp/bridges/heartbeat", raw, "application/json", headers=headers)
        assert answer.status_code == 200

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
        attempts.force_reset(linked.account_id)
        assert advice(linked.session_id, "unknown") == ([linked.session_id], [])

    def test_never_what_is_unknown_or_open(self, linked: LinkSession) -> None:
        make_bridge("beta")
        forget_secrets()
        assert advice("unknown", linked.session_id.upper(), linked.session_id) == ([], [])
        LinkSession.objects.update(last_seen_at=None)
        assert advice(linked.session_id, secret="beta") == ([], [])  # its owner does not list it

    def test_what_has_ended_here_also_where_another_bridge_runs_it(self, linked: LinkSession) -> None:
        beta = make_bridge("beta")
        forget_secrets()
        attempts.force_reset(linked.account_id)
        assert advice(linked.session_id, secret="beta") == ([linked.session_id], [])
        stop = linked.orders.get(kind=BridgeOrder.Kind.STOP, bridge=beta)
        assert (stop.why, stop.logout) == (BridgeOrder.Why.RECONCILE, True)
        reason = linked.transitions.latest("pk").reason
        assert reason == "Bridge beta runs it although it has ended here: it is stopped there."

    def test_what_was_moved_away_from_it_while_it_was_silent(self, linked: LinkSession, bridge: Bridge) -> None:
        """Its stop waits: for ten minutes, after long refusals."""
        beta = make_bridge("beta", last_heard_at=timezone.now())
        relocation.move(linked.account_id, beta.pk, actor=None, reason="", has_login=True)
        stop = linked.orders.get(kind=BridgeOrder.Kind.STOP)
        BridgeOrder.objects.filter(pk=stop.pk).update(due_at=timezone.now() + timedelta(seconds=540))
        assert advice(linked.session_id) == ([linked.session_id], [])
        stop.refresh_from_db()
        assert stop.due_at <= timezone.now()
        assert linked.orders.filter(kind=BridgeOrder.Kind.STOP).count() == 1

    def test_nor_of_a_workspace_that_it_does_not_serve(self, linked: LinkSession) -> None:
        attempts.force_reset(linked.account_id)
        linked.bridge.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        assert advice(linked.session_id) == ([], [])

    def test_a_soft_end_may_still_be_taken_back(self, session: LinkSession) -> None:
        attempts.start(session.account_id, trigger="test", may=May.RENEW)
        unscanned = [{"session_id": session.session_id, "status": "qr_scanning"}]
        assert advice(sessions=unscanned)[0] == []
        move_back(session, diff.SOFT_END_SETTLED + 1)
        assert advice(sessions=unscanned)[0] == [session.session_id]

    @pytest.mark.parametrize("ended", ["qr_expired", "renewed", "never_ready"])
    def test_never_whoever_scanned_though_no_event_said_so(
        self, session: LinkSession, account: Account, ended: str
    ) -> None:
        """Rule "Soft ends": the desk was away while the phone scanned, and its events are late or lost."""
        long_ago = timezone.now() - timedelta(seconds=diff.SOFT_END_SETTLED + 1)
        scanned_at = long_ago if ended == "never_ready" else None
        LinkSession.objects.update(ended_at=long_ago, end_reason=ended, authenticated_at=scanned_at)
        Account.objects.update(status=Status.QR_EXPIRED, status_changed_at=long_ago)
        named = {"session_id": session.session_id, "status": "connected", "phone_number": PHONE}
        assert beat(sessions=[named]).json() == {"success": True, "stop": [], "restore": []}
        account.refresh_from_db()
        assert (status_of(account), account.phone_number) == (Status.CONNECTED, PHONE)

    def test_but_a_reset_since_is_final(self, session: LinkSession, account: Account) -> None:
        ended_at = timezone.now() - timedelta(seconds=diff.SOFT_END_SETTLED + 1)
        LinkSession.objects.update(ended_at=ended_at, end_reason="qr_expired")
        Account.objects.update(reset_at=timezone.now())
        named = {"session_id": session.session_id, "status": "connected", "phone_number": PHONE}
        assert beat(sessions=[named]).json()["stop"] == [session.session_id]

    def test_too_many_at_once_are_none(self, workspace: Workspace, bridge: Bridge) -> None:
        """Rule "No guess": then it is rather we who are wrong."""
        account = Account.objects.create(workspace=workspace)
        ended = {"account": account, "bridge": bridge, "ended_at": timezone.now(), "end_reason": "reset"}
        ids = [LinkSession.objects.create(session_id=f"s{number}", **ended).session_id for number in range(6)]
        assert advice(*ids[:4])[0] == []
        others = [f"unknown{number}" for number in range(96)]
        assert advice(*ids, *others)[0] == []
        assert advice(*ids[:5], *others)[0] == ids[:5]

    def test_what_was_told_to_stop_just_now_is_not_counted(self, linked: LinkSession, bridge: Bridge) -> None:
        """It runs still because its stop is on its way: after a day of many resets nothing is wrong with us."""
        ids = crowd(linked, 6)
        for session in LinkSession.objects.filter(session_id__in=ids[:4]):
            Account.objects.filter(pk=session.account_id).update(current_session=session)
            attempts.force_reset(session.account_id)
        assert sorted(advice(*ids)[0]) == ids[:4]
        LinkSession.objects.filter(session_id=ids[4]).update(ended_at=timezone.now(), end_reason="reset")
        assert sorted(advice(*ids)[0]) == ids[:5]
        assert not Incident.objects.exists()


class TestRestore:
    def test_what_should_run_and_does_not(self, linked: LinkSession) -> None:
        missing_twice()
        answer = beat("unknown")
        row = {"id": linked.account_id, "session_id": linked.session_id}
        assert answer.json()["restore"] == [row | {"workspace_id": linked.account.workspace_id}]
        assert status_of(linked.account) == Status.DISCONNECTED
        ordered = linked.orders.get(why=BridgeOrder.Why.RECONCILE)
        assert (ordered.kind, ordered.state) == (BridgeOrder.Kind.START, BridgeOrder.State.PENDING)
        assert linked.transitions.latest("pk").reason == run.ABSENT

    def test_never_what_would_show_a_code_to_nobody(self, session: LinkSession) -> None:
        move_back(session, 3600)
        missing_twice()
        assert advice() == ([], [])

    def test_three_heartbeats_without_it_make_it_absent(self, linked: LinkSession) -> None:
        """Several processes behind one address answer in turn."""
        assert advice(linked.session_id) == ([], [])
        LinkSession.objects.update(last_seen_at=timezone.now() - timedelta(seconds=diff.ABSENT_FOR + 1))
        assert advice() == ([], [])
        assert advice() == ([], [])
        assert status_of(linked.account) == Status.CONNECTED
        assert advice() == ([], [linked.session_id])

    def test_three_in_one_moment_do_not(self, linked: LinkSession) -> None:
        advice(linked.session_id)
        assert [advice() for _ in range(4)] == [([], [])] * 4

    def test_not_in_quiet_time(self, linked: LinkSession) -> None:
        missing_twice()
        LinkSession.objects.update(authenticated_at=timezone.now() - timedelta(seconds=100))
        assert advice() == ([], [])

    def test_not_what_has_just_moved(self, portal: Portal, linked: LinkSession) -> None:
        portal.post("session_disconnected", linked, reason="NAVIGATION")
        LinkSession.objects.update(last_seen_at=None)
        missing_twice()
        assert advice() == ([], [])
        Account.objects.update(status_changed_at=timezone.now() - timedelta(minutes=5))
        assert advice() == ([], [linked.session_id])

    def test_nor_again_what_recovery_tries(self, portal: Portal, linked: LinkSession) -> None:
        portal.post("session_disconnected", linked, reason="NAVIGATION")
        move_back(linked, 3600)
        missing_twice()
        assert advice() == ([], [linked.session_id])
        linked.orders.update(state=BridgeOrder.State.CONFIRMED)
        assert advice() == ([], [])

    @pytest.mark.parametrize("state", BridgeOrder.UNDER_WAY)
    def test_not_what_an_order_is_under_way_for(self, linked: LinkSession, state: str) -> None:
        missing_twice()
        linked.orders.update(state=state, created_at=timezone.now())
        assert advice() == ([], [])

    def test_not_what_has_ended_or_is_of_another_bridge(self, linked: LinkSession) -> None:
        missing_twice()
        make_bridge("beta")
        forget_secrets()
        assert advice(secret="beta") == ([], [])
        attempts.force_reset(linked.account_id)
        assert advice() == ([], [])


@pytest.mark.parametrize("size", [50, 500])
def test_it_asks_as_often_for_five_hundred_as_for_fifty(
    linked: LinkSession, django_assert_num_queries: Callable[[int], Any], size: int
) -> None:
    ids = crowd(linked, size)
    strangers = [f"stranger{number}" for number in range(size)]  # SQLite makes their rows a hundred at a time
    beat(*strangers)
    LinkSession.objects.update(last_seen_at=None, absent_polls=0)
    LinkSession.objects.filter(session_id__in=ids[: size // 4]).update(absent_polls=1)
    with django_assert_num_queries(QUERIES):  # half of them named, half not, and as many that nobody knows
        assert advice(*ids[: size // 2], *strangers) == ([], [])
    assert LinkSession.objects.filter(absent_polls=1).count() == size - size // 2 + 1
