"""The traps of the bridge contract, each with the traffic that a real bridge sends."""

from datetime import timedelta

from django.utils import timezone

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, BridgeOrder, LinkSession, Transition
from accounts.pairing import attempts
from accounts.pairing.attempts import May
from tests.support.links import QR, READY, link, move_back, status_of, stops_of
from tests.support.portal import PHONE, Portal
from webhooks.models import UnmatchedTraffic, WebhookEvent


class TestMainWay:
    def test_a_scan_connects_the_account(self, portal: Portal, account: Account, session: LinkSession) -> None:
        assert portal.post("qr_code_generated", session, **QR).json()["outcome"] == "applied"
        assert status_of(account) == Status.QR_SCANNING
        portal.post("session_authenticated", session, status="authenticated")
        assert status_of(account) == Status.AUTHENTICATED
        portal.post("session_ready", session, **READY)
        assert status_of(account) == Status.CONNECTED
        assert account.phone_number == PHONE
        moves = account.transitions.order_by("pk").values_list("old", "new")
        assert list(moves) == [
            ("inactive", "qr_scanning"),
            ("qr_scanning", "authenticated"),
            ("authenticated", "connected"),
        ]

    def test_the_qr_code_is_kept_as_a_picture_and_dropped_after_the_scan(
        self, portal: Portal, session: LinkSession
    ) -> None:
        portal.post("qr_code_generated", session, **QR)
        session.refresh_from_db()
        assert session.qr_svg.startswith("<svg")
        portal.post("session_authenticated", session)
        session.refresh_from_db()
        assert session.qr_svg == ""
        assert "2@abc" not in str(WebhookEvent.objects.values_list("payload", flat=True))

    def test_a_png_is_served_where_the_bridge_sends_no_text(self, portal: Portal, session: LinkSession) -> None:
        png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
        portal.post("qr_code_generated", session, qr_code=f"data:image/png;base64,{png}", expires_in=60)
        session.refresh_from_db()
        assert bytes(session.qr_png or b"").startswith(b"\x89PNG")

    def test_the_answer_is_a_plain_200_with_no_redirect(self, portal: Portal, session: LinkSession) -> None:
        answer = portal.post("session_reconnected", session)
        assert answer.status_code == 200
        assert portal.client.post("/api/whatsapp/webhooks/webjs/", b"{}", "application/json").status_code == 404


class TestOrderOfEvents:
    def test_a_qr_before_the_post_returns_finds_its_session(self, portal: Portal, session: LinkSession) -> None:
        """Webhooks overtake the command that caused them (contract 0.3): nothing was delivered yet."""
        assert session.orders.get(kind="start").state == BridgeOrder.State.PENDING
        portal.post("qr_code_generated", session, **QR)
        session.refresh_from_db()
        assert session.qr_count == 1

    def test_a_qr_after_authenticated_does_not_demote(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("session_authenticated", session)
        assert portal.post("qr_code_generated", session, **QR).json()["outcome"] == "qr_after_scan"
        assert status_of(account) == Status.AUTHENTICATED
        assert WebhookEvent.objects.get(event="qr_code_generated").state == WebhookEvent.State.IGNORED

    def test_ready_twice_is_one_link(self, portal: Portal, account: Account, session: LinkSession) -> None:
        link(portal, session)
        assert portal.post("session_ready", session, **READY).status_code == 200
        assert status_of(account) == Status.CONNECTED
        assert account.transitions.filter(new=Status.CONNECTED).count() == 1

    def test_authenticated_after_ready_changes_nothing(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("session_ready", session, **READY)
        portal.post("session_authenticated", session)
        assert status_of(account) == Status.CONNECTED

    def test_webhook_send_failed_means_connected(self, portal: Portal, account: Account, session: LinkSession) -> None:
        portal.post("session_authenticated", session)
        portal.post("session_error", session, error="webhook_send_failed", message="x", phone_number=PHONE)
        assert status_of(account) == Status.CONNECTED
        assert account.phone_number == PHONE

    def test_no_phone_number_is_a_failure_with_a_name(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("session_authenticated", session)
        portal.post("session_error", session, error="phone_extraction_failed", message="x")
        assert status_of(account) == Status.FAILED
        session.refresh_from_db()
        assert session.end_reason == EndReason.PHONE_UNKNOWN

    def test_session_reconnected_means_nothing(self, portal: Portal, account: Account, session: LinkSession) -> None:
        link(portal, session)
        portal.post("session_disconnected", session)
        assert status_of(account) == Status.DISCONNECTED
        portal.post("session_reconnected", session, status="reconnected", timestamp="2026-11-20T10:55:30.988Z")
        assert status_of(account) == Status.DISCONNECTED
        portal.post("session_ready", session, **READY)
        assert status_of(account) == Status.CONNECTED

    def test_a_conflict_while_scanning_leaves_the_pairing_alone(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("qr_code_generated", session, **QR)
        portal.post("session_disconnected", session, reason="CONFLICT")
        portal.post("session_reconnected", session, status="reconnected")
        portal.post("qr_code_generated", session, **QR)
        assert status_of(account) == Status.QR_SCANNING
        session.refresh_from_db()
        assert session.qr_count == 2


class TestEnds:
    def test_logout_and_the_endless_codes_after_it(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        move_back(session, 600)
        portal.post("session_disconnected", session, reason="LOGOUT")
        assert status_of(account) == Status.LOGGED_OUT
        events = WebhookEvent.objects.count()
        for count in range(2, 12):
            assert portal.post("qr_code_generated", session, **QR | {"qr_count": count}).status_code == 200
        assert status_of(account) == Status.LOGGED_OUT
        assert WebhookEvent.objects.count() == events
        assert UnmatchedTraffic.objects.get(event="qr_code_generated", reason="ended").count == 10
        assert stops_of(session).count() == 1

    def test_logged_out_right_after_linking_is_no_success(self, portal: Portal, session: LinkSession) -> None:
        link(portal, session)
        portal.post("session_disconnected", session, reason="LOGOUT")
        session.refresh_from_db()
        assert session.end_reason == EndReason.DEVICE_REMOVED

    def test_a_technical_drop_right_after_linking_is_not_an_end(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        portal.post("session_disconnected", session, reason="NAVIGATION")
        assert status_of(account) == Status.DISCONNECTED
        session.refresh_from_db()
        assert session.is_open

    def test_ready_after_delete_is_stopped_and_moves_nothing(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """Deleted sessions talk again (contract 0.6)."""
        portal.post("session_authenticated", session)
        attempts.force_reset(account.pk, reason="test")
        stops_of(session).update(state="confirmed", closed_at=timezone.now() - timedelta(seconds=90))
        portal.post("session_ready", session, **READY)
        assert status_of(account) == Status.INACTIVE
        assert account.phone_number is None
        assert stops_of(session).filter(state="pending").count() == 1

    def test_a_second_qr_fifteen_minutes_after_one_that_hung(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """The 500 of the old portal: here the old attempt ends, logged, and no account is made twice."""
        portal.post("qr_code_generated", session, **QR)
        move_back(session, 900)
        second = attempts.start(account.pk, trigger="test")
        portal.post("qr_code_generated", second, **QR)
        session.refresh_from_db()
        assert session.end_reason == EndReason.QR_EXPIRED
        assert Account.objects.count() == 1
        assert Transition.objects.filter(session=session, new=Status.QR_EXPIRED, trigger="deadline").exists()
        assert status_of(account) == Status.QR_SCANNING

    def test_scanned_at_the_last_moment_reopens(self, portal: Portal, account: Account, session: LinkSession) -> None:
        portal.post("qr_code_generated", session, **QR)
        move_back(session, 121)
        assert attempts.expire(session.pk)
        assert status_of(account) == Status.QR_EXPIRED
        portal.post("session_authenticated", session)
        assert status_of(account) == Status.AUTHENTICATED
        assert stops_of(session).get().state == BridgeOrder.State.CANCELLED
        portal.post("session_ready", session, **READY)
        assert status_of(account) == Status.CONNECTED

    def test_reopened_after_its_stop_went_out_starts_the_same_id_again(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("qr_code_generated", session, **QR)
        move_back(session, 121)
        attempts.expire(session.pk)
        stops_of(session).update(state="confirmed", attempts=1, closed_at=timezone.now())
        portal.post("session_ready", session, **READY)
        assert status_of(account) == Status.CONNECTED
        assert session.orders.filter(kind="start").count() == 2

    def test_a_late_scan_of_a_replaced_code_wins_over_the_unscanned_new_one(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("qr_code_generated", session, **QR)
        newer = attempts.start(account.pk, trigger="test", may=May.RENEW)
        portal.post("session_authenticated", session)
        account.refresh_from_db()
        newer.refresh_from_db()
        assert account.current_session == session
        assert newer.end_reason == EndReason.SUPERSEDED

    def test_a_late_scan_of_a_replaced_code_loses_to_a_scanned_new_one(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        newer = attempts.start(account.pk, trigger="test", may=May.RENEW)
        portal.post("session_authenticated", newer)
        portal.post("session_ready", session, **READY)
        account.refresh_from_db()
        assert account.current_session == newer
        assert account.status == Status.AUTHENTICATED
        assert stops_of(session).exists()

    def test_a_reset_is_final(self, portal: Portal, account: Account, session: LinkSession) -> None:
        """What ended softly before a reset is not reopened by a late scan."""
        portal.post("qr_code_generated", session, **QR)
        move_back(session, 121)
        attempts.expire(session.pk)
        attempts.force_reset(account.pk, reason="the customer asked")
        portal.post("session_authenticated", session)
        assert status_of(account) == Status.INACTIVE
