"""The traps of the bridge contract, each with the traffic that a real bridge sends."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import pairing
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, BridgeOrder, LinkSession, Message, Transition, Workspace
from tests.conftest import PHONE, Portal, make_bridge
from tests.signing import signed_headers
from webhooks.models import UnmatchedTraffic, WebhookEvent

QR = {"qr_text": "2@abc,def,ghi", "expires_in": 60, "qr_count": 1, "is_regeneration": False}
READY = {"phone_number": PHONE, "status": "connected", "platform": "android", "extraction_method": "client.info.wid"}


def status_of(account: Account) -> str:
    account.refresh_from_db()
    return account.status


def stops_of(session: LinkSession) -> Any:
    return session.orders.filter(kind=BridgeOrder.Kind.STOP)


def link(portal: Portal, session: LinkSession, **ready: str) -> None:
    portal.post("qr_code_generated", session, **QR)
    portal.post("session_authenticated", session, status="authenticated")
    portal.post("session_ready", session, **READY | ready)


def move_back(session: LinkSession, seconds: float) -> None:
    """As if the session, and what the account last did, had happened so much earlier."""
    session.refresh_from_db()
    shift = timedelta(seconds=seconds)
    moments = ("started_at", "admitted_at", "first_qr_at", "authenticated_at", "connected_at", "ended_at")
    for name in (*moments, "qr_expires_at"):
        if getattr(session, name):
            setattr(session, name, getattr(session, name) - shift)
    session.save()
    Account.objects.filter(pk=session.account_id).update(status_changed_at=timezone.now() - shift)


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
        pairing.force_reset(account.pk, reason="test")
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
        second = pairing.start(account.pk, trigger="test")
        portal.post("qr_code_generated", second, **QR)
        session.refresh_from_db()
        assert session.end_reason == EndReason.QR_EXPIRED
        assert Account.objects.count() == 1
        assert Transition.objects.filter(session=session, new=Status.QR_EXPIRED, trigger="deadline").exists()
        assert status_of(account) == Status.QR_SCANNING

    def test_scanned_at_the_last_moment_reopens(self, portal: Portal, account: Account, session: LinkSession) -> None:
        portal.post("qr_code_generated", session, **QR)
        move_back(session, 121)
        assert pairing.expire(session.pk)
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
        pairing.expire(session.pk)
        stops_of(session).update(state="confirmed", attempts=1, closed_at=timezone.now())
        portal.post("session_ready", session, **READY)
        assert status_of(account) == Status.CONNECTED
        assert session.orders.filter(kind="start").count() == 2

    def test_a_late_scan_of_a_replaced_code_wins_over_the_unscanned_new_one(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("qr_code_generated", session, **QR)
        newer = pairing.start(account.pk, trigger="test", force=True)
        portal.post("session_authenticated", session)
        account.refresh_from_db()
        newer.refresh_from_db()
        assert account.current_session == session
        assert newer.end_reason == EndReason.SUPERSEDED

    def test_a_late_scan_of_a_replaced_code_loses_to_a_scanned_new_one(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        newer = pairing.start(account.pk, trigger="test", force=True)
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
        pairing.expire(session.pk)
        pairing.force_reset(account.pk, reason="the customer asked")
        portal.post("session_authenticated", session)
        assert status_of(account) == Status.INACTIVE


class TestPhoneIdentity:
    def pair_another(self, account: Account, **values: Any) -> tuple[Account, LinkSession]:
        other = Account.objects.create(workspace=account.workspace, **values)
        return other, pairing.start(other.pk, trigger="test")

    def test_two_accounts_that_turn_out_to_be_one_phone(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        placeholder, second = self.pair_another(account)
        portal.post("message_received", second, message={"id": "false_1@c.us_AA", "body": "early"})
        before = max(status_of(account) and account.version, placeholder.version)
        link(portal, second)
        account.refresh_from_db()
        placeholder.refresh_from_db()
        session.refresh_from_db()
        assert account.current_session == second
        assert account.status == Status.CONNECTED
        assert session.end_reason == EndReason.SUPERSEDED
        assert stops_of(session).get().logout
        assert placeholder.merged_into == account
        assert placeholder.deleted_at is not None
        assert account.version > before
        assert Message.objects.get().session.account == account

    def test_of_two_scanned_sessions_the_later_started_stays(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        known, later = self.pair_another(account, phone_number=PHONE)
        portal.post("session_authenticated", later)
        link(portal, session)
        session.refresh_from_db()
        known.refresh_from_db()
        assert session.end_reason == EndReason.SUPERSEDED
        assert known.current_session == later
        assert later.is_open

    def test_a_bare_qr_code_never_beats_a_phone_that_was_scanned(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        known, later = self.pair_another(account, phone_number=PHONE)
        portal.post("qr_code_generated", later, **QR)
        link(portal, session)
        known.refresh_from_db()
        later.refresh_from_db()
        assert (known.status, known.current_session) == (Status.CONNECTED, session)
        assert later.end_reason == EndReason.SUPERSEDED

    def test_a_wrong_number_is_said_and_unlinked(self, portal: Portal, account: Account) -> None:
        expecting, session = self.pair_another(account, phone_number="6281200000001")
        link(portal, session)
        session.refresh_from_db()
        expecting.refresh_from_db()
        assert session.end_reason == EndReason.WRONG_NUMBER
        assert session.reported_phone == PHONE
        assert expecting.status == Status.FAILED
        assert expecting.phone_number == "6281200000001"
        assert stops_of(session).get().logout

    def test_a_number_change_is_flagged_and_not_ended(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        portal.post("session_ready", session, **READY | {"phone_number": "6281299999999"})
        session.refresh_from_db()
        assert session.is_open
        assert session.reported_phone == "6281299999999"
        assert status_of(account) == Status.CONNECTED
        assert account.phone_number == PHONE

    def test_the_same_phone_in_another_workspace_is_another_account(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        elsewhere = Account.objects.create(workspace=Workspace.objects.create(name="Toko Bob"))
        link(portal, pairing.start(elsewhere.pk, trigger="test"))
        elsewhere.refresh_from_db()
        assert elsewhere.phone_number == PHONE
        assert elsewhere.merged_into is None

    def test_two_devices_of_one_phone_are_a_conflict(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("session_ready", session, **READY, device_jid=f"{PHONE}:28@s.whatsapp.net")
        portal.post("session_ready", session, **READY, device_jid=f"{PHONE}:39@s.whatsapp.net")
        session.refresh_from_db()
        assert session.device_conflict_at is not None


class TestDeliveries:
    def test_a_retry_with_a_new_signature_is_known_by_its_id(self, portal: Portal, session: LinkSession) -> None:
        body = {"event": "session_authenticated", "data": {"session_id": session.session_id}}
        first = portal.send(body, headers=signed_headers(portal.secret, body)[1], **{"X-Event-Id": "e1"})
        later = signed_headers(portal.secret, body, at=int(timezone.now().timestamp()) + 2)[1]
        assert first.json()["outcome"] == "applied"
        assert portal.send(body, headers=later, **{"X-Event-Id": "e1"}).json()["outcome"] == "duplicate"
        assert WebhookEvent.objects.count() == 1

    def test_a_retry_without_an_id_is_judged_by_the_state(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        body = {"event": "session_authenticated", "data": {"session_id": session.session_id}}
        portal.send(body)
        portal.send(body, headers=signed_headers(portal.secret, body, at=int(timezone.now().timestamp()) + 2)[1])
        assert WebhookEvent.objects.count() == 2
        assert account.transitions.filter(new=Status.AUTHENTICATED).count() == 1

    def test_a_retry_after_the_request_died_does_its_work(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """The web process was killed between storing and applying: the bridge sends it again within seconds."""
        body = {"event": "session_authenticated", "data": {"session_id": session.session_id}}
        portal.send(body, **{"X-Event-Id": "e1"})
        Account.objects.filter(pk=account.pk).update(status=Status.QR_SCANNING)
        died = {"state": "received", "finished_at": None, "due_at": timezone.now() + timedelta(seconds=10)}
        WebhookEvent.objects.update(**died)
        assert portal.send(body, **{"X-Event-Id": "e1"}).json()["outcome"] == "duplicate"
        assert status_of(account) == Status.AUTHENTICATED
        event = WebhookEvent.objects.get()
        assert (event.state, event.attempts) == (WebhookEvent.State.APPLIED, 2)

    def test_an_exact_replay_is_answered_and_dropped(self, portal: Portal, session: LinkSession) -> None:
        body = {"event": "session_authenticated", "data": {"session_id": session.session_id}}
        headers = signed_headers(portal.secret, body)[1]
        portal.send(body, headers=headers)
        again = portal.send(body, headers=headers)
        assert again.status_code == 200
        assert again.json()["outcome"] == "duplicate"

    @pytest.mark.parametrize("data", [{"workspace_id": "9"}, {}, {"workspace_id": None}, {"workspace_id": "undefined"}])
    def test_the_workspace_id_is_only_an_echo(
        self, portal: Portal, account: Account, session: LinkSession, data: dict[str, Any]
    ) -> None:
        body = {"event": "session_authenticated", "data": {"session_id": session.session_id, **data}}
        assert portal.send(body).status_code == 200
        assert status_of(account) == Status.AUTHENTICATED

    def test_unknown_sessions_cost_one_row_with_a_count(self, portal: Portal) -> None:
        for _ in range(5):
            assert portal.post("qr_code_generated", "webjs_1_1_nobody00", **QR).status_code == 200
        row = UnmatchedTraffic.objects.get()
        assert (row.count, row.reason) == (5, "unknown_session")
        assert BridgeOrder.objects.count() == 0  # nothing unknown is stopped (rule 12)

    def test_unknown_events_cost_one_row_with_a_count(self, portal: Portal, session: LinkSession) -> None:
        portal.post("session_status_changed", session)
        portal.post("session_status_changed", session)
        assert UnmatchedTraffic.objects.get(reason="unknown_event").count == 2

    def test_typing_is_counted_and_dropped(self, portal: Portal, session: LinkSession) -> None:
        portal.post("typing_indicator", session, is_typing=True)
        portal.post("chat_state_updated", session, chat_state="composing")
        assert UnmatchedTraffic.objects.filter(reason="dropped").count() == 2

    def test_another_bridges_session_is_kept_as_ignored(self, session: LinkSession, account: Account) -> None:
        make_bridge("beta")
        answer = Portal("beta-hmac").post("session_authenticated", session)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "unknown_session")
        assert UnmatchedTraffic.objects.get().reason == "not_owner"
        assert status_of(account) == Status.QR_SCANNING

    def test_ids_are_compared_byte_for_byte(self, portal: Portal, session: LinkSession, account: Account) -> None:
        assert portal.post("session_authenticated", session.session_id.upper()).json()["outcome"] == "unknown_session"
        assert portal.post("session_authenticated", session.session_id + " ").json()["outcome"] == "unknown_session"
        assert status_of(account) == Status.QR_SCANNING
