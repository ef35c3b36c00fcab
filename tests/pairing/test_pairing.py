"""Who may start a pairing and when, and what a reset ends."""

import pytest
from django.utils import timezone

from accounts.lifecycle import PAIRING, EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkInvitation, LinkSession, Workspace
from accounts.pairing import attempts
from accounts.pairing.attempts import May, PairingRefused
from tests.support.links import READY, link, move_back, status_of, stops_of
from tests.support.portal import Portal
from tests.support.states import Reach, in_peace, reach

__all__ = ["reach"]


class TestStart:
    @pytest.mark.parametrize(
        "status", [Status.INACTIVE, Status.QR_EXPIRED, Status.LOGGED_OUT, Status.FAILED, Status.DISCONNECTED]
    )
    def test_begins_a_new_session_with_a_new_id(self, reach: Reach, status: Status) -> None:
        account = in_peace(reach(status))
        before = set(account.sessions.values_list("session_id", flat=True))
        session = attempts.start(account.pk, trigger="test")
        account.refresh_from_db()
        assert session.session_id not in before
        assert account.current_session == session
        assert account.status == Status.QR_SCANNING
        assert account.sessions.filter(ended_at=None).get() == session

    def test_the_lost_session_it_replaces_is_superseded(self, reach: Reach) -> None:
        lost = in_peace(reach(Status.DISCONNECTED)).current_session
        assert lost is not None
        attempts.start(lost.account_id, trigger="test")
        lost.refresh_from_db()
        assert lost.end_reason == EndReason.SUPERSEDED
        assert stops_of(lost).get().logout

    @pytest.mark.parametrize(
        ("status", "at_most"), [(Status.QR_SCANNING, 120), (Status.ACTION_REQUIRED, 300), (Status.AUTHENTICATED, 90)]
    )
    def test_one_at_a_time(self, reach: Reach, status: Status, at_most: int) -> None:
        account = reach(status)
        with pytest.raises(PairingRefused) as refusal:
            attempts.start(account.pk, trigger="test")
        assert refusal.value.code == "PAIRING_IN_PROGRESS"
        assert at_most - 5 <= (refusal.value.retry_after or 0) <= at_most
        assert account.sessions.count() == 1

    @pytest.mark.parametrize("may", [May.NOTHING, May.INTERRUPT])
    def test_a_connected_account_is_left_alone(self, reach: Reach, may: May) -> None:
        account = in_peace(reach(Status.CONNECTED))
        with pytest.raises(PairingRefused) as refusal:
            attempts.start(account.pk, trigger="test", may=may)
        assert refusal.value.code == "ALREADY_CONNECTED"
        assert status_of(account) == Status.CONNECTED

    @pytest.mark.parametrize("status", [Status.QR_SCANNING, Status.ACTION_REQUIRED])
    def test_a_new_code_replaces_one_that_waits_for_its_scan(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        old = account.current_session
        assert old is not None
        new = attempts.start(account.pk, trigger="test", may=May.RENEW)
        old.refresh_from_db()
        assert new.session_id != old.session_id
        assert old.end_reason == EndReason.RENEWED
        assert not stops_of(old).get().logout

    def test_a_new_code_does_not_interrupt_one_that_was_scanned(self, reach: Reach) -> None:
        account = reach(Status.AUTHENTICATED)
        with pytest.raises(PairingRefused) as refusal:
            attempts.start(account.pk, trigger="test", may=May.RENEW)
        assert refusal.value.code == "PAIRING_IN_PROGRESS"
        assert status_of(account) == Status.AUTHENTICATED

    def test_staff_may_interrupt_it(self, reach: Reach) -> None:
        account = reach(Status.AUTHENTICATED)
        attempts.start(account.pk, trigger="test", may=May.INTERRUPT)
        assert status_of(account) == Status.QR_SCANNING

    @pytest.mark.parametrize("status", sorted(PAIRING))
    def test_one_that_has_lapsed_stands_in_nobodys_way(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        assert account.current_session is not None
        move_back(account.current_session, 400)
        assert attempts.start(account.pk, trigger="test")
        assert account.transitions.filter(trigger="deadline").exists()

    def test_the_eleventh_placeholder_waits(self, workspace: Workspace, bridge: Bridge) -> None:
        for _ in range(10):
            attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        eleventh = Account.objects.create(workspace=workspace)
        with pytest.raises(PairingRefused) as refusal:
            attempts.start(eleventh.pk, trigger="test")
        assert refusal.value.code == "TOO_MANY_PAIRINGS"
        assert refusal.value.retry_after
        assert eleventh.sessions.count() == 0

    def test_an_account_with_a_phone_and_another_workspace_are_not_held_up_by_them(
        self, workspace: Workspace, bridge: Bridge
    ) -> None:
        for _ in range(10):
            attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        known = Account.objects.create(workspace=workspace, phone_number="6281200000001")
        elsewhere = Account.objects.create(workspace=Workspace.objects.create(name="Toko Bob"))
        assert attempts.start(known.pk, trigger="test")
        assert attempts.start(elsewhere.pk, trigger="test")

    @pytest.mark.parametrize("why_not", [{"draining": True}, {"weight": 0}, {"capacity": 0}], ids=str)
    def test_no_bridge_no_session(self, account: Account, why_not: dict[str, int]) -> None:
        Bridge.objects.update(**why_not)
        with pytest.raises(PairingRefused) as refusal:
            attempts.start(account.pk, trigger="test")
        assert refusal.value.code == "NO_BRIDGE_AVAILABLE"
        assert account.sessions.count() == 0
        assert account.transitions.get().trigger == "refused"

    def test_a_bridge_of_other_workspaces_is_not_taken(self, account: Account, bridge: Bridge) -> None:
        bridge.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        with pytest.raises(PairingRefused) as refusal:
            attempts.start(account.pk, trigger="test")
        assert refusal.value.code == "NO_BRIDGE_AVAILABLE"

    def test_a_merged_account_is_paired_as_the_one_it_lives_on_as(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """The page has looked its account up, and then the merge came."""
        placeholder = account
        known = Account.objects.create(workspace=account.workspace, phone_number=READY["phone_number"])
        link(portal, session)
        portal.post("session_disconnected", session, reason="NAVIGATION")
        placeholder.refresh_from_db()
        assert placeholder.merged_into == known
        in_peace(known)
        begun = attempts.start(placeholder.pk, trigger="test")
        assert begun.account_id == known.pk


class TestForceReset:
    @pytest.mark.parametrize("status", Status)
    def test_ends_whatever_there_is_and_can_be_asked_for_twice(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        for _ in range(2):
            attempts.force_reset(account.pk, reason="test")
        assert status_of(account) == Status.INACTIVE
        assert not account.sessions.filter(ended_at=None).exists()
        assert account.transitions.filter(trigger="force_reset").count() == 2
        assert BridgeOrder.objects.filter(kind="stop").count() <= 1

    @pytest.mark.parametrize("status", [*sorted(PAIRING), Status.CONNECTED, Status.DISCONNECTED])
    def test_the_device_is_unlinked_at_once(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        attempts.force_reset(account.pk)
        stop = BridgeOrder.objects.get(kind="stop")
        assert stop.logout
        assert stop.due_at <= timezone.now()

    def test_a_soft_end_before_it_becomes_final(self, reach: Reach) -> None:
        account = reach(Status.QR_EXPIRED)
        assert BridgeOrder.objects.get(kind="stop").due_at > timezone.now()
        attempts.force_reset(account.pk)
        stop = BridgeOrder.objects.get(kind="stop")
        assert stop.logout
        assert stop.due_at <= timezone.now()

    def test_open_invitations_are_revoked_and_only_this_accounts(self, account: Account) -> None:
        url = LinkInvitation.issue(account)
        other = LinkInvitation.issue(Account.objects.create(workspace=account.workspace))
        attempts.force_reset(account.pk)
        revoked, kept = (LinkInvitation.objects.find(link.split("/")[-2]) for link in (url, other))
        assert revoked is not None
        assert kept is not None
        assert (revoked.is_usable, kept.is_usable) == (False, True)

    def test_afterwards_it_can_be_paired_again(self, reach: Reach) -> None:
        account = reach(Status.CONNECTED)
        attempts.force_reset(account.pk)
        attempts.start(account.pk, trigger="test")
        assert status_of(account) == Status.QR_SCANNING
