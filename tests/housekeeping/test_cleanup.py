"""Tidying up: what goes when somebody asks, and what survives whatever is asked."""

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from accounts.bridges import presence
from accounts.housekeeping import cleanup
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkInvitation, LinkSession, Workspace
from accounts.pairing import attempts
from tests.support.cleaning import ALL, DAY, HOUR, MINUTE, assert_survives, clean, clean_stale, is_deleted, lapsed, lost
from tests.support.links import QR, READY, link, move_back, status_of
from tests.support.portal import Portal


def everything(account: Account) -> None:
    """All that anybody can ask for, at its sharpest."""
    clean(account)
    clean_stale(stale_threshold_minutes=5, disconnect_threshold_hours=1)
    cleanup.clean_on_schedule()


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
        """The scan of the expired code may be under way (rule "Soft ends")."""
        lapsed(portal, session, ago=3 * MINUTE)
        assert attempts.expire(session.pk)
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

    def test_nor_is_one_deleted_of_whose_link_no_session_and_no_history_tells_any_more(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        lost(portal, session, ago=2 * HOUR)
        account.transitions.all().delete()
        LinkSession.objects.update(connected_at=None)
        assert clean(account, ["disconnected"]) == 1
        assert status_of(account) == Status.INACTIVE
        assert not is_deleted(account)

    @pytest.mark.parametrize("attempt", [Status.QR_EXPIRED, Status.FAILED])
    def test_nor_is_one_deleted_whose_later_attempt_failed(
        self, portal: Portal, account: Account, session: LinkSession, attempt: str
    ) -> None:
        link(portal, session)
        attempts.force_reset(account.pk)
        again = attempts.start(account.pk, trigger="test")
        if attempt == Status.QR_EXPIRED:
            portal.post("qr_code_generated", again, **QR)
        move_back(again, HOUR)
        attempts.expire(again.pk)
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
        link(portal, attempts.start(account.pk, trigger="test"))
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
        for heard in (None, timezone.now() - timedelta(seconds=presence.UP_WITHIN + 1)):
            Bridge.objects.update(last_heard_at=heard)
            assert cleanup.clean_stale(everybody, attempts_after=day, links_after=day).links == 0
        Bridge.objects.update(last_heard_at=timezone.now())
        assert cleanup.clean_stale(everybody, attempts_after=day, links_after=day).links == 1

    def test_a_linked_account_with_an_expired_code_is_left_alone(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        attempts.force_reset(account.pk)
        again = attempts.start(account.pk, trigger="test")
        lapsed(portal, again, ago=HOUR)
        attempts.expire(again.pk)
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
