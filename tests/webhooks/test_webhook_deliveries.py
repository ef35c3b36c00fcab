"""Deliveries that come again, or for a session that nobody knows: each is answered, and counts once."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, BridgeOrder, LinkSession
from tests.support.links import QR, status_of
from tests.support.portal import Portal, make_bridge
from tests.support.signing import signed_headers
from webhooks.models import UnmatchedTraffic, WebhookEvent


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
        assert BridgeOrder.objects.count() == 0  # nothing unknown is stopped (rule "No guess")

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
