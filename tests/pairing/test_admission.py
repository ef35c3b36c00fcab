"""Quiet time after a scan, the cooldown after failures, and staff who take the risk."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, LinkSession, User, Workspace
from accounts.models.session import new_session_id
from accounts.pairing import attempts as pairing
from accounts.pairing import cooldown
from accounts.pairing.attempts import May, PairingRefused
from tests.api.conftest import Program, assert_refused, program
from tests.support.links import QR, link, move_back, status_of
from tests.support.portal import Portal, make_bridge

pytestmark = pytest.mark.django_db
HOUR = 3600


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create(username="bob", is_staff=True)


@pytest.fixture
def asks(workspace: Workspace) -> Program:
    return program(workspace)


def refusal_of(account: Account, **how: Any) -> PairingRefused:
    with pytest.raises(PairingRefused) as refused:
        pairing.start(account.pk, trigger="test", **how)
    return refused.value


def waits(refusal: PairingRefused) -> int:
    assert refusal.retry_after is not None
    return refusal.retry_after


def fail(portal: Portal, account: Account, *, ago: float, reason: str = "LOGOUT") -> LinkSession:
    """Scanned, and thrown out by the phone, so many seconds ago."""
    session = pairing.start(account.pk, trigger="test")
    portal.post("qr_code_generated", session, **QR)
    portal.post("session_authenticated", session)
    portal.post("session_disconnected", session, reason=reason)
    move_back(session, ago)
    return session


class TestQuietTime:
    @pytest.fixture
    def linked(self, portal: Portal, session: LinkSession) -> LinkSession:
        link(portal, session)
        move_back(session, 50)
        session.orders.update(created_at=session.started_at)
        return session

    @pytest.mark.parametrize("status", [Status.CONNECTED, Status.DISCONNECTED])
    @pytest.mark.parametrize("may", [May.NOTHING, May.RENEW])
    def test_a_link_of_just_now_is_left_alone_for_what_is_left_of_120_s(
        self, account: Account, linked: LinkSession, status: Status, may: May
    ) -> None:
        Account.objects.update(status=status)
        refusal = refusal_of(account, may=may)
        assert refusal.code == "PAIRING_IN_PROGRESS"
        assert 60 <= waits(refusal) <= 70
        linked.refresh_from_db()
        assert linked.is_open

    def test_afterwards_a_lost_one_is_replaced(self, account: Account, linked: LinkSession) -> None:
        Account.objects.update(status=Status.DISCONNECTED)
        move_back(linked, 71)
        pairing.start(account.pk, trigger="test")
        linked.refresh_from_db()
        assert linked.end_reason == EndReason.SUPERSEDED

    def test_staff_may_force_a_lost_one(self, account: Account, linked: LinkSession) -> None:
        Account.objects.update(status=Status.DISCONNECTED)
        pairing.start(account.pk, trigger="test", may=May.INTERRUPT)
        linked.refresh_from_db()
        assert linked.end_reason == EndReason.SUPERSEDED

    def test_nobody_forces_away_a_connected_one(self, account: Account, linked: LinkSession) -> None:
        assert refusal_of(account, may=May.INTERRUPT).code == "ALREADY_CONNECTED"

    def test_a_scan_whose_phone_asks_for_more_is_not_forced_away(
        self, account: Account, session: LinkSession, portal: Portal
    ) -> None:
        portal.post("session_authenticated", session)
        portal.post("session_action_required", session, kind="passkey")
        assert 290 <= waits(refusal_of(account)) <= 300
        assert 110 <= waits(refusal_of(account, may=May.RENEW)) <= 120
        move_back(session, 121)
        assert pairing.start(account.pk, trigger="test", may=May.RENEW) != session

    def test_a_scan_that_was_lost_before_it_was_ready_lapses_first(
        self, account: Account, session: LinkSession, portal: Portal
    ) -> None:
        portal.post("session_authenticated", session)
        portal.post("session_disconnected", session, reason="NAVIGATION")
        assert status_of(account) == Status.DISCONNECTED
        assert 80 <= waits(refusal_of(account)) <= 90

    def test_over_the_api_it_takes_force_and_manage(
        self, workspace: Workspace, account: Account, linked: LinkSession, asks: Program
    ) -> None:
        Account.objects.update(status=Status.DISCONNECTED)
        for_links = program(workspace, "link")
        for force in (False, True):
            error = assert_refused(
                for_links.post("pair", account=str(account.uuid), force=force), 429, "PAIRING_IN_PROGRESS"
            )
            assert 60 <= error["retry_after"] <= 70
        assert asks.post("pair", account=str(account.uuid), force=True).status_code == 201


class TestCooldown:
    def test_after_five_scans_in_vain_the_next_waits_until_the_fifth_is_an_hour_old(
        self, account: Account, portal: Portal
    ) -> None:
        for ago in (2000, 1500, 900, 400, 100):
            fail(portal, account, ago=ago)
        refusal = refusal_of(account)
        assert refusal.code == "PAIRING_COOLDOWN"
        assert HOUR - 2010 <= waits(refusal) <= HOUR - 2000
        assert "27 minutes" in str(refusal)
        first = account.sessions.order_by("pk").first()
        assert first is not None
        move_back(first, HOUR - 2000)
        assert pairing.start(account.pk, trigger="test").is_open

    def test_a_sixth_lengthens_it(self, account: Account, portal: Portal, bob: User) -> None:
        for ago in (2000, 1500, 900, 400, 100):
            fail(portal, account, ago=ago)
        session = pairing.start(account.pk, trigger="test", actor=bob, reason="asked", may=May.SKIP_COOLDOWN)
        portal.post("session_authenticated", session)
        portal.post("session_disconnected", session, reason="LOGOUT")
        assert HOUR - 1510 <= waits(refusal_of(account)) <= HOUR - 1500

    def test_over_the_api_it_is_429_with_the_seconds(self, account: Account, portal: Portal, asks: Program) -> None:
        for ago in (500, 400, 300, 200, 100):
            fail(portal, account, ago=ago)
        error = assert_refused(asks.post("pair", account=str(account.uuid), force=True), 429, "PAIRING_COOLDOWN")
        assert HOUR - 510 <= error["retry_after"] <= HOUR - 500

    @pytest.mark.parametrize("reason", ["DEPRECATED_VERSION", "PROXYBLOCK"])
    def test_what_was_our_own_fault_does_not_count(self, account: Account, portal: Portal, reason: str) -> None:
        for ago in (900, 500, 400, 300, 200, 100):
            fail(portal, account, ago=ago, reason=reason)
        assert pairing.start(account.pk, trigger="test").is_open

    def test_codes_that_nobody_scanned_do_not_count(self, account: Account, portal: Portal) -> None:
        for _ in range(6):
            session = pairing.start(account.pk, trigger="test")
            portal.post("qr_code_generated", session, **QR)
            move_back(session, 121)
            pairing.expire(session.pk)
        assert pairing.start(account.pk, trigger="test").is_open

    def test_a_link_that_held_makes_them_forgotten(self, account: Account, portal: Portal) -> None:
        for ago in (2000, 1900, 1800, 1700):
            fail(portal, account, ago=ago)
        session = pairing.start(account.pk, trigger="test")
        link(portal, session)
        move_back(session, 1000)
        portal.post("session_disconnected", session, reason="LOGOUT")
        assert status_of(account) == Status.LOGGED_OUT
        for ago in (400, 300, 200, 100):
            fail(portal, account, ago=ago)
        fail(portal, account, ago=50)
        assert refusal_of(account).code == "PAIRING_COOLDOWN"

    def test_another_account_does_not_pay(self, workspace: Workspace, account: Account, portal: Portal) -> None:
        for ago in (500, 400, 300, 200, 100):
            fail(portal, account, ago=ago)
        another = Account.objects.create(workspace=workspace)
        assert pairing.start(another.pk, trigger="test").is_open


class TestOutage:
    """Nobody can link: the person is not to blame."""

    @pytest.fixture(autouse=True)
    def _in_vain(self, account: Account, portal: Portal) -> None:
        for ago in (500, 400, 300, 200, 100):
            fail(portal, account, ago=ago)

    def attempts(self, bridge: Bridge, *, failed: int, linked: int = 0) -> None:
        now, lately = timezone.now(), timezone.now() - timedelta(minutes=5)
        for number in range(failed + linked):
            another = Account.objects.create(workspace=Workspace.objects.get(name="Toko Alice"))
            end = {} if number < linked else {"ended_at": now, "end_reason": EndReason.NEVER_READY}
            connected = lately if number < linked else None
            scanned = {"authenticated_at": lately, "connected_at": connected}
            LinkSession.objects.create(session_id=new_session_id(1), account=another, bridge=bridge, **scanned | end)

    def test_the_cooldown_is_suspended_while_everybody_fails(self, account: Account, bridge: Bridge) -> None:
        self.attempts(bridge, failed=1)
        self.attempts(make_bridge("beta"), failed=1)
        assert pairing.start(account.pk, trigger="test").is_open

    def test_two_are_no_outage(self, account: Account, bridge: Bridge) -> None:
        self.attempts(bridge, failed=1)
        assert refusal_of(account).code == "PAIRING_COOLDOWN"

    def test_one_link_on_another_bridge_shows_that_it_works(self, account: Account, bridge: Bridge) -> None:
        self.attempts(bridge, failed=4)
        self.attempts(make_bridge("beta"), failed=0, linked=1)
        assert refusal_of(account).code == "PAIRING_COOLDOWN"

    def test_old_links_that_were_unlinked_are_no_outage(self, account: Account, bridge: Bridge) -> None:
        self.attempts(bridge, failed=4)
        LinkSession.objects.exclude(account=account).update(
            authenticated_at=timezone.now() - timedelta(days=90),
            connected_at=timezone.now() - timedelta(days=90),
            end_reason=EndReason.LOGGED_OUT,
        )
        assert refusal_of(account).code == "PAIRING_COOLDOWN"

    def test_links_that_were_thrown_out_at_once_are_one(self, account: Account, bridge: Bridge) -> None:
        self.attempts(bridge, failed=2)
        LinkSession.objects.exclude(account=account).update(
            connected_at=timezone.now() - timedelta(seconds=30), end_reason=EndReason.LOGGED_OUT
        )
        assert pairing.start(account.pk, trigger="test").is_open

    def test_what_was_our_own_fault_is_none(self, account: Account, bridge: Bridge) -> None:
        self.attempts(bridge, failed=4)
        LinkSession.objects.exclude(account=account).update(end_detail="PROXYBLOCK")
        assert refusal_of(account).code == "PAIRING_COOLDOWN"

    def test_a_bridge_where_a_scan_has_not_failed_yet_may_show_that_it_works(
        self, account: Account, bridge: Bridge
    ) -> None:
        self.attempts(bridge, failed=4)
        self.attempts(make_bridge("beta"), failed=0, linked=1)
        LinkSession.objects.filter(bridge__name="beta").update(connected_at=None)
        assert refusal_of(account).code == "PAIRING_COOLDOWN"


class TestOverride:
    def test_it_passes_the_cooldown_and_the_history_says_who_and_why(
        self, account: Account, portal: Portal, bob: User
    ) -> None:
        for ago in (500, 400, 300, 200, 100):
            fail(portal, account, ago=ago)
        session = pairing.start(account.pk, trigger="admin", actor=bob, reason="new phone", may=May.SKIP_COOLDOWN)
        assert session.is_open
        rows = account.transitions.order_by("-pk").values_list("trigger", "new", "actor", "reason")[:2]
        assert list(rows) == [
            ("admin", "qr_scanning", bob.pk, "new phone"),
            ("cooldown_overridden", "logged_out", bob.pk, "new phone"),
        ]

    def test_with_force_it_passes_the_quiet_time(
        self, account: Account, session: LinkSession, portal: Portal, bob: User
    ) -> None:
        portal.post("session_authenticated", session)
        assert refusal_of(account, actor=bob, reason="stuck", may=May.SKIP_COOLDOWN).code == "PAIRING_IN_PROGRESS"
        pairing.start(account.pk, trigger="admin", actor=bob, reason="stuck", may=May.OVERRIDE)
        session.refresh_from_db()
        assert session.end_reason == EndReason.RENEWED

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_nobody_overrides_without_a_reason(self, account: Account, bob: User, reason: str) -> None:
        with pytest.raises(ValueError, match="why"):
            pairing.start(account.pk, trigger="admin", actor=bob, reason=reason, may=May.SKIP_COOLDOWN)

    @pytest.mark.parametrize("may", [May.LEAVE_LINE, May.SKIP_COOLDOWN, May.OVERRIDE])
    def test_whatever_is_a_risk_needs_a_reason(self, account: Account, bob: User, may: May) -> None:
        with pytest.raises(ValueError, match="why"):
            pairing.start(account.pk, trigger="admin", actor=bob, may=may)

    @pytest.mark.parametrize("may", [May.RENEW, May.INTERRUPT])
    def test_a_new_code_needs_none_and_passes_no_cooldown(self, portal: Portal, account: Account, may: May) -> None:
        for _ in range(5):
            fail(portal, account, ago=300)
        assert refusal_of(account, may=may).code == "PAIRING_COOLDOWN"

    def test_nobody_overrides_without_a_name(self, account: Account) -> None:
        with pytest.raises(ValueError, match="who"):
            pairing.start(account.pk, trigger="admin", reason="because", may=May.SKIP_COOLDOWN)

    def test_the_risk_is_told(self) -> None:
        assert "block the number" in cooldown.risk_of("PAIRING_COOLDOWN")
        assert "throw out both" in cooldown.risk_of("PAIRING_IN_PROGRESS")
        assert cooldown.risk_of("ALREADY_CONNECTED") == ""
