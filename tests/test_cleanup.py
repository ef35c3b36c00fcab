"""Tidying up: what goes, and what survives whatever is asked."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_q.models import Schedule

from accounts import cleanup, fleet, orders, pairing, tasks
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkInvitation, LinkSession, Workspace
from accounts.schedules import synchronise
from api.models import WorkspaceToken
from tests.conftest import Portal, make_bridge
from tests.signing import signed_headers
from tests.test_races import PHONES, assert_every_history_is_a_legal_chain, assert_nothing_failed, at_once, tell
from tests.test_webhook_contract import QR, READY, link, move_back, status_of

MINUTE, HOUR, DAY = 60, 3600, 86_400
ALL = list(cleanup.CLEANABLE)


def ask(path: str, body: dict[str, Any], *, secret: str = "alpha") -> Any:
    raw, headers = signed_headers(f"{secret}-hmac", body)
    return Client().post(f"/api/whatsapp/accounts/{path}", raw, "application/json", headers=headers)


def clean(account: Account, statuses: list[str] | None = None, **more: Any) -> int:
    body = {"workspace_id": account.workspace_id, "cleanup_statuses": statuses or ALL, **more}
    answer = ask("cleanup", body)
    assert answer.status_code == 200, answer.content
    assert answer.json()["success"] is True
    return int(answer.json()["cleaned_count"])


def clean_stale(**body: int) -> dict[str, int]:
    answer = ask("cleanup-stale", body)
    assert answer.status_code == 200, answer.content
    breakdown: dict[str, int] = answer.json()["breakdown"]
    assert answer.json()["cleaned_count"] == sum(breakdown.values())
    return breakdown


def is_deleted(account: Account) -> bool:
    account.refresh_from_db()
    return account.deleted_at is not None


def assert_survives(account: Account, *, tried: Callable[[], Any]) -> None:
    """Neither the account nor its session is any other afterwards."""
    account.refresh_from_db()
    assert account.current_session is not None
    before = (account.status, account.version, account.deleted_at, account.current_session.ended_at)
    tried()
    account.refresh_from_db()
    assert account.current_session is not None
    assert (account.status, account.version, account.deleted_at, account.current_session.ended_at) == before


def everything(account: Account) -> None:
    """All that anybody can ask for, at its sharpest."""
    clean(account)
    clean_stale(stale_threshold_minutes=5, disconnect_threshold_hours=1)
    cleanup.clean_on_schedule()


def lapsed(portal: Portal, session: LinkSession, *, ago: float) -> None:
    """A code was shown so long ago, nobody scanned it, and our worker did not run."""
    portal.post("qr_code_generated", session, **QR)
    move_back(session, ago)


def lost(portal: Portal, session: LinkSession, *, ago: float, reason: str = "NAVIGATION") -> None:
    link(portal, session)
    move_back(session, ago + DAY)
    portal.post("session_disconnected", session, reason=reason)
    Account.objects.filter(pk=session.account_id).update(status_changed_at=timezone.now() - timedelta(seconds=ago))


class TestOnDemand:
    def test_an_attempt_that_led_nowhere_is_deleted(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        lapsed(portal, session, ago=11 * MINUTE)
        assert clean(account, ["qr_scanning"]) == 1
        assert is_deleted(account)
        session.refresh_from_db()
        assert session.end_reason == EndReason.QR_EXPIRED
        assert session.orders.filter(kind=BridgeOrder.Kind.STOP).exists()
        steps = account.transitions.order_by("pk").values_list("new", "trigger")
        assert list(steps)[-2:] == [("qr_expired", "deadline"), ("inactive", "cleanup")]

    def test_twice_is_once(self, portal: Portal, account: Account, session: LinkSession) -> None:
        lapsed(portal, session, ago=11 * MINUTE)
        assert clean(account) == 1
        assert_survives(account, tried=lambda: clean(account))
        assert clean(account) == 0

    def test_a_page_of_it_stops_working(self, portal: Portal, account: Account, session: LinkSession) -> None:
        LinkInvitation.issue(account)
        lapsed(portal, session, ago=11 * MINUTE)
        clean(account)
        assert not account.invitations.usable().exists()

    @pytest.mark.parametrize("ago", [0, 9 * MINUTE])
    def test_a_young_attempt_is_not_touched(
        self, portal: Portal, account: Account, session: LinkSession, ago: float
    ) -> None:
        lapsed(portal, session, ago=ago)
        assert_survives(account, tried=partial(everything, account))

    def test_nor_one_that_has_just_ended(self, portal: Portal, account: Account, session: LinkSession) -> None:
        """The scan of the expired code may be under way (rule 6)."""
        lapsed(portal, session, ago=3 * MINUTE)
        assert pairing.expire(session.pk)
        assert_survives(account, tried=partial(everything, account))

    def test_a_code_that_can_be_scanned_survives(self, portal: Portal, account: Account, session: LinkSession) -> None:
        move_back(session, 11 * MINUTE)
        LinkSession.objects.filter(pk=session.pk).update(first_qr_at=timezone.now())
        assert_survives(account, tried=partial(everything, account))

    @pytest.mark.parametrize("ago", [0, HOUR, 30 * DAY])
    def test_a_scanned_attempt_survives(
        self, portal: Portal, account: Account, session: LinkSession, ago: float
    ) -> None:
        portal.post("session_authenticated", session)
        move_back(session, ago)
        assert_survives(account, tried=partial(everything, account))

    @pytest.mark.parametrize("ago", [0, HOUR, 30 * DAY])
    def test_a_connected_account_survives(
        self, portal: Portal, account: Account, session: LinkSession, ago: float
    ) -> None:
        link(portal, session)
        move_back(session, ago)
        assert_survives(account, tried=partial(everything, account))

    def test_an_account_whose_phone_asks_for_more_survives(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("qr_code_generated", session, **QR)
        portal.post("session_action_required", session, kind="passkey", message="Confirm")
        move_back(session, HOUR)
        assert_survives(account, tried=partial(everything, account))

    def test_a_linked_account_keeps_its_history(self, portal: Portal, account: Account, session: LinkSession) -> None:
        lost(portal, session, ago=2 * HOUR)
        history = list(account.transitions.order_by("pk").values_list("pk", "new"))
        assert clean(account, ["disconnected"]) == 1
        assert status_of(account) == Status.INACTIVE
        assert not is_deleted(account)
        assert account.phone_number == READY["phone_number"]
        session.refresh_from_db()
        assert session.end_reason == EndReason.CLEANED_UP
        assert list(account.transitions.order_by("pk").values_list("pk", "new"))[:-1] == history
        assert clean(account, ["disconnected"]) == 0

    @pytest.mark.parametrize("attempt", [Status.QR_EXPIRED, Status.FAILED])
    def test_nor_is_one_deleted_whose_later_attempt_failed(
        self, portal: Portal, account: Account, session: LinkSession, attempt: str
    ) -> None:
        link(portal, session)
        pairing.force_reset(account.pk)
        again = pairing.start(account.pk, trigger="test")
        if attempt == Status.QR_EXPIRED:
            portal.post("qr_code_generated", again, **QR)
        move_back(again, HOUR)
        pairing.expire(again.pk)
        assert status_of(account) == attempt
        move_back(again, HOUR)
        assert clean(account) == 1
        assert status_of(account) == Status.INACTIVE
        assert not is_deleted(account)

    def test_one_whose_sessions_were_removed_by_hand_was_still_linked(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        lost(portal, session, ago=HOUR, reason="LOGOUT")
        account.sessions.all().delete()
        cleanup.clean(Account.objects.all(), statuses=ALL)
        assert not is_deleted(account)

    def test_a_cleaned_account_pairs_again(self, portal: Portal, account: Account, session: LinkSession) -> None:
        lost(portal, session, ago=HOUR)
        clean(account)
        link(portal, pairing.start(account.pk, trigger="test"))
        assert status_of(account) == Status.CONNECTED

    def test_only_the_phone_that_was_named(self, portal: Portal, account: Account, session: LinkSession) -> None:
        lost(portal, session, ago=HOUR)
        assert clean(account, phone_number="6281200000009") == 0
        assert clean(account, phone_number=f"+{READY['phone_number']}") == 1

    def test_only_the_statuses_that_were_named(self, portal: Portal, account: Account, session: LinkSession) -> None:
        lost(portal, session, ago=HOUR)
        assert clean(account, ["qr_scanning", "qr_expired", "failed", "logged_out"]) == 0


class TestStale:
    def test_the_first_threshold(self, portal: Portal, account: Account, session: LinkSession) -> None:
        lapsed(portal, session, ago=29 * MINUTE)
        assert clean_stale() == {"qr_scanning": 0, "disconnected": 0}
        move_back(session, 2 * MINUTE)
        assert clean_stale() == {"qr_scanning": 1, "disconnected": 0}
        assert is_deleted(account)
        assert clean_stale() == {"qr_scanning": 0, "disconnected": 0}

    def test_five_minutes_do_not_make_an_attempt_old(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        lapsed(portal, session, ago=9 * MINUTE)
        assert clean_stale(stale_threshold_minutes=5) == {"qr_scanning": 0, "disconnected": 0}

    @pytest.mark.parametrize("reason", ["NAVIGATION", "LOGOUT"])
    def test_the_second_threshold(self, portal: Portal, account: Account, session: LinkSession, reason: str) -> None:
        lost(portal, session, ago=23 * HOUR, reason=reason)
        assert clean_stale()["disconnected"] == 0
        Account.objects.update(status_changed_at=timezone.now() - timedelta(hours=25))
        assert clean_stale()["disconnected"] == 1
        assert status_of(account) == Status.INACTIVE
        assert not is_deleted(account)

    def test_a_silent_bridge_proves_nothing(self, portal: Portal, account: Account, session: LinkSession) -> None:
        lost(portal, session, ago=25 * HOUR)
        everybody, day = Account.objects.all(), timedelta(hours=24)
        for heard in (None, timezone.now() - timedelta(seconds=fleet.UP_WITHIN + 1)):
            Bridge.objects.update(last_heard_at=heard)
            assert cleanup.clean_stale(everybody, attempts_after=day, links_after=day).links == 0
        Bridge.objects.update(last_heard_at=timezone.now())
        assert cleanup.clean_stale(everybody, attempts_after=day, links_after=day).links == 1

    def test_a_linked_account_with_an_expired_code_is_left_alone(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        pairing.force_reset(account.pk)
        again = pairing.start(account.pk, trigger="test")
        lapsed(portal, again, ago=HOUR)
        pairing.expire(again.pk)
        assert clean_stale() == {"qr_scanning": 0, "disconnected": 0}
        assert status_of(account) == Status.QR_EXPIRED

    def test_a_call_does_a_batch(self, workspace: Workspace, bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cleanup, "AT_ONCE", 3)
        for number in range(5):
            failed = Account.objects.create(workspace=workspace, status=Status.FAILED)
            day = timezone.now() - timedelta(days=1)
            values = {"bridge": bridge, "started_at": day, "ended_at": day}
            failed.current_session = LinkSession.objects.create(session_id=f"s{number}", account=failed, **values)
            failed.save()
        assert [clean_stale()["qr_scanning"] for _ in range(3)] == [3, 2, 0]


class TestSchedule:
    def test_it_runs_every_hour(self, db: None) -> None:
        synchronise()
        assert Schedule.objects.get(name="clean up what is long over").minutes == 60

    def end_long_ago(self, account: Account) -> None:
        """The attempt ended, and its stop was carried out, 25 hours ago."""
        tasks.expire_overdue()
        day = timezone.now() - timedelta(hours=25)
        LinkSession.objects.update(ended_at=day)
        BridgeOrder.objects.update(state=BridgeOrder.State.CONFIRMED, closed_at=day)

    def test_what_never_led_to_a_link_goes(self, portal: Portal, account: Account, session: LinkSession) -> None:
        lapsed(portal, session, ago=26 * HOUR)
        self.end_long_ago(account)
        tasks.clean_up()
        assert is_deleted(account)

    def test_whoever_is_invited_is_waited_for(self, portal: Portal, account: Account, session: LinkSession) -> None:
        LinkInvitation.issue(account)
        lapsed(portal, session, ago=26 * HOUR)
        self.end_long_ago(account)
        tasks.clean_up()
        assert not is_deleted(account)
        LinkInvitation.objects.update(expires_at=timezone.now())
        tasks.clean_up()
        assert is_deleted(account)

    def test_after_a_day_without_us_nobody_goes_who_was_linked(
        self, portal: Portal, workspace: Workspace, bridge: Bridge
    ) -> None:
        """Everything is a day old; and the scan of one code, reported to nobody, waits in the bridge's outbox."""
        accounts = {name: Account.objects.create(workspace=workspace, label=name) for name in PHONES[:3]}
        sessions = {name: pairing.start(account.pk, trigger="test") for name, account in accounts.items()}
        running, dropped, scanned = PHONES[:3]
        link(portal, sessions[running], phone_number=running)
        lost(portal, sessions[dropped], ago=0)
        portal.post("qr_code_generated", sessions[scanned], **QR)
        for session in sessions.values():
            move_back(session, 24 * HOUR)
        BridgeOrder.objects.update(created_at=timezone.now() - timedelta(days=1))
        Bridge.objects.update(last_heard_at=timezone.now(), heard_since=timezone.now())
        for _ in range(3):  # whichever of the jobs comes first
            tasks.clean_up()
            tasks.expire_overdue()
        assert not any(is_deleted(account) for account in accounts.values())
        assert status_of(accounts[running]) == Status.CONNECTED
        assert status_of(accounts[dropped]) == Status.DISCONNECTED
        portal.post("session_ready", sessions[scanned], **READY | {"phone_number": scanned})
        assert status_of(accounts[scanned]) == Status.CONNECTED

    def test_nothing_goes_while_we_only_observe(
        self, portal: Portal, account: Account, session: LinkSession, settings: Any
    ) -> None:
        """A restored backup calls it lost for long; the bridge may hold it."""
        settings.LINKDESK_RECONCILE = "observe"
        lost(portal, session, ago=8 * DAY)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(hours=2))
        assert_survives(account, tried=tasks.clean_up)
        assert tasks.clean_up() == "nothing: it only observes"
        settings.LINKDESK_RECONCILE = "act"
        assert tasks.clean_up() == cleanup.Cleaned(attempts=0, links=1, failed=0)

    @pytest.mark.django_db(transaction=True)  # so that what fails is rolled back
    def test_one_that_fails_holds_up_nobody_behind_it(
        self, workspace: Workspace, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = [Account.objects.create(workspace=workspace, label=name) for name in PHONES[:2]]
        sessions = [pairing.start(account.pk, trigger="test") for account in made]
        for session in sessions:
            move_back(session, 26 * HOUR)
        order = orders.order

        def breaks_for_the_first(session: LinkSession, *args: Any, **kwargs: Any) -> Any:
            if session.account_id == made[0].pk:
                raise RuntimeError("as a row that nobody thought of")
            return order(session, *args, **kwargs)

        monkeypatch.setattr(orders, "order", breaks_for_the_first)
        assert tasks.expire_overdue() == {"looked at": 2, "failed": 1}
        assert [status_of(account) for account in made] == [Status.QR_SCANNING, Status.FAILED]
        stale = cleanup.clean_stale(
            Account.objects.all(), attempts_after=timedelta(hours=1), links_after=timedelta(days=1)
        )
        assert stale == cleanup.Cleaned(attempts=1, links=0, failed=1)
        assert [is_deleted(account) for account in made] == [False, True]

    def test_a_link_lost_for_a_week_becomes_inactive(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        lost(portal, session, ago=6 * DAY)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(hours=2))
        assert_survives(account, tried=tasks.clean_up)
        Account.objects.update(status_changed_at=timezone.now() - timedelta(days=8))
        tasks.clean_up()
        assert status_of(account) == Status.INACTIVE
        assert not is_deleted(account)

    def test_but_not_just_after_its_bridge_came_back(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        lost(portal, session, ago=8 * DAY)
        bridge, now = Bridge.objects.get(), timezone.now()
        for heard, heard_since in ((None, None), (now - timedelta(days=1), now - timedelta(days=9))):
            Bridge.objects.update(last_heard_at=heard, heard_since=heard_since)
            fleet._heard.clear()
            fleet.hear(bridge.pk)
            assert_survives(account, tried=tasks.clean_up)

    def test_a_bridge_that_is_heard_all_the_time_is_heard_since_the_first_time(self, bridge: Bridge) -> None:
        Bridge.objects.update(last_heard_at=None)
        fleet.hear(bridge.pk)
        bridge.refresh_from_db()
        since = bridge.heard_since
        assert since is not None
        Bridge.objects.update(last_heard_at=timezone.now() - timedelta(seconds=fleet.UP_WITHIN - 5))
        fleet._heard.clear()
        fleet.hear(bridge.pk)
        bridge.refresh_from_db()
        assert bridge.heard_since == since
        Bridge.objects.update(last_heard_at=timezone.now() - timedelta(seconds=fleet.UP_WITHIN + 5))
        fleet._heard.clear()
        fleet.hear(bridge.pk)
        bridge.refresh_from_db()
        assert bridge.heard_since is not None
        assert bridge.heard_since > since


class TestWhatMayBeAsked:
    @pytest.mark.parametrize("status", ["connected", "authenticated", "inactive", "action_required", "", "CONNECTED"])
    def test_statuses_that_are_not_cleaned_up(self, account: Account, status: str) -> None:
        body = {"workspace_id": account.workspace_id, "cleanup_statuses": ["failed", status]}
        answer = ask("cleanup", body)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] in {"STATUS_NOT_CLEANABLE", "INVALID_FIELD"}
        if status:
            assert answer.json()["error"]["code"] == "STATUS_NOT_CLEANABLE"

    @pytest.mark.parametrize(
        "change",
        [
            {"workspace_id": None},
            {"workspace_id": 0},
            {"workspace_id": 2**63 - 1 + 1},
            {"workspace_id": True},
            {"cleanup_statuses": []},
            {"cleanup_statuses": "failed"},
            {"cleanup_statuses": None},
            {"cleanup_statuses": [["failed"]]},
            {"cleanup_statuses": ["failed"] * 100},
            {"phone_number": "12"},
            {"phone_number": ["6281200000009"]},
        ],
    )
    def test_what_is_out_of_range(self, account: Account, change: dict[str, Any]) -> None:
        body = {"workspace_id": account.workspace_id, "cleanup_statuses": ["failed"]} | change
        assert ask("cleanup", body).status_code == 400

    @pytest.mark.parametrize(
        "body",
        [
            {"stale_threshold_minutes": 4},
            {"stale_threshold_minutes": 1441},
            {"stale_threshold_minutes": "x"},
            {"stale_threshold_minutes": 5.5},
            {"disconnect_threshold_hours": 0},
            {"disconnect_threshold_hours": 169},
            {"disconnect_threshold_hours": None},
        ],
    )
    def test_thresholds_that_are_out_of_range(self, bridge: Bridge, body: dict[str, Any]) -> None:
        answer = ask("cleanup-stale", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_FIELD")

    def test_a_workspace_that_the_bridge_does_not_serve_is_none(self, account: Account, bridge: Bridge) -> None:
        bridge.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        body = {"workspace_id": account.workspace_id, "cleanup_statuses": ["failed"]}
        foreign, none = ask("cleanup", body), ask("cleanup", body | {"workspace_id": 10**9})
        assert foreign.status_code == none.status_code == 404
        assert foreign.json() == none.json()

    def test_a_workspace_that_is_none_is_404_also_for_a_bridge_that_serves_all(self, bridge: Bridge) -> None:
        assert ask("cleanup", {"workspace_id": 10**9, "cleanup_statuses": ["failed"]}).status_code == 404

    def test_another_bridge_cleans_up_nothing_of_ours(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        make_bridge("beta")
        lapsed(portal, session, ago=HOUR)
        body = {"workspace_id": account.workspace_id, "cleanup_statuses": ALL}
        assert ask("cleanup", body, secret="beta").json()["cleaned_count"] == 0
        assert ask("cleanup-stale", {}, secret="beta").json()["cleaned_count"] == 0
        assert not is_deleted(account)


class TestWithAToken:
    def ask(self, path: str, body: dict[str, Any], token: str) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return Client().post(f"/api/whatsapp/accounts/{path}", body, "application/json", headers=headers)

    @pytest.mark.parametrize("path", ["cleanup", "cleanup-stale"])
    def test_it_cleans_up_its_own_workspace(
        self, portal: Portal, account: Account, session: LinkSession, path: str
    ) -> None:
        lapsed(portal, session, ago=HOUR)
        other = Workspace.objects.create(name="Toko Bob")
        asked = {"cleanup_statuses": ALL, "workspace_id": other.pk}
        assert self.ask(path, asked, WorkspaceToken.issue(other.pk)).json()["cleaned_count"] == 0
        asked["workspace_id"] = account.workspace_id
        reader = WorkspaceToken.issue(account.workspace_id, scopes="read link")
        assert self.ask(path, asked, reader).status_code == 403
        assert not is_deleted(account)
        assert self.ask(path, asked, WorkspaceToken.issue(account.workspace_id)).json()["cleaned_count"] == 1
        assert is_deleted(account)

    def test_of_another_workspace_as_of_none(self, account: Account) -> None:
        token = WorkspaceToken.issue(Workspace.objects.create(name="Toko Bob").pk)
        body = {"workspace_id": account.workspace_id, "cleanup_statuses": ALL}
        foreign, none = self.ask("cleanup", body, token), self.ask("cleanup", body | {"workspace_id": 10**9}, token)
        assert foreign.status_code == none.status_code == 404
        assert foreign.json() == none.json()

    @pytest.mark.parametrize("token", ["ld_unknown", "undefined", ""])
    def test_of_nobody(self, db: None, token: str) -> None:
        assert self.ask("cleanup-stale", {}, token).status_code == 401

    def test_it_opens_nothing_else_of_the_bridges(self, account: Account) -> None:
        headers = {"Authorization": f"Bearer {WorkspaceToken.issue(account.workspace_id)}"}
        for path in ("accounts/active", "accounts-for-cleanup", "cleanup-stats"):
            assert Client().get(f"/api/whatsapp/{path}", headers=headers).status_code == 401


@pytest.mark.race
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
class TestRaces:
    ROUNDS = 6

    def test_a_ready_at_the_same_moment(self, workspace: Workspace, bridge: Bridge, portal: Portal) -> None:
        """Ready first: connected, whatever else is asked. Cleanup first: deleted, and the late session is stopped."""
        for number in range(self.ROUNDS):
            account = Account.objects.create(workspace=workspace, label=f"{number}")
            session = pairing.start(account.pk, trigger="test")
            lapsed(portal, session, ago=HOUR)
            said = READY | {"phone_number": f"62811000{number:04}"}
            ready = partial(tell, Portal("alpha-hmac"), "session_ready", session, **said)
            results = at_once([partial(clean, account), ready, partial(clean, account)])
            assert not [result for result in results if isinstance(result, Exception)]
            account.refresh_from_db()
            session.refresh_from_db()
            if session.is_open:
                assert (account.status, account.deleted_at) == (Status.CONNECTED, None)
                assert results[0] + results[2] == 0
            else:
                assert account.status == Status.INACTIVE
                assert account.deleted_at is not None
                assert results[0] + results[2] == 1
                assert session.orders.filter(kind=BridgeOrder.Kind.STOP).exists()
        assert_nothing_failed()
        assert_every_history_is_a_legal_chain()

    def test_a_ready_for_a_linked_account_always_wins_or_reopens(
        self, workspace: Workspace, bridge: Bridge, portal: Portal
    ) -> None:
        for phone in PHONES:
            account = Account.objects.create(workspace=workspace)
            first = pairing.start(account.pk, trigger="test")
            link(portal, first, phone_number=phone)
            portal.post("session_disconnected", first, reason="LOGOUT")
            move_back(first, DAY)
            session = pairing.start(account.pk, trigger="test")
            lapsed(portal, session, ago=HOUR)
            ready = partial(tell, Portal("alpha-hmac"), "session_ready", session, **READY | {"phone_number": phone})
            at_once([partial(clean, account), ready])
            account.refresh_from_db()
            assert (account.status, account.deleted_at, account.current_session_id) == ("connected", None, session.pk)
        assert_nothing_failed()
        assert_every_history_is_a_legal_chain()

    def test_many_cleanups_at_once_count_each_account_once(
        self, workspace: Workspace, bridge: Bridge, portal: Portal
    ) -> None:
        for number in range(self.ROUNDS):
            account = Account.objects.create(workspace=workspace, label=f"{number}")
            lapsed(portal, pairing.start(account.pk, trigger="test"), ago=HOUR)
        results = at_once([partial(clean, account)] * 8)
        assert sum(results) == self.ROUNDS, results
        assert Account.objects.live().count() == 0
        assert_every_history_is_a_legal_chain()

    def test_a_new_attempt_at_the_same_moment(self, workspace: Workspace, bridge: Bridge, portal: Portal) -> None:
        for number in range(self.ROUNDS):
            account = Account.objects.create(workspace=workspace, label=f"{number}")
            lapsed(portal, pairing.start(account.pk, trigger="test"), ago=HOUR)
            cleaned, started = at_once([partial(clean, account), partial(pairing.start, account.pk, trigger="test")])
            assert not isinstance(cleaned, Exception), cleaned
            assert isinstance(started, LinkSession), started
            account.refresh_from_db()
            started.refresh_from_db()
            assert started.is_open
            assert account.status == Status.QR_SCANNING
        assert_every_history_is_a_legal_chain()
