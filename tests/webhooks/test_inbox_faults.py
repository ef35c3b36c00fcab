"""What the inbox does when a handler fails: nothing that was answered is lost, nothing is tried for ever."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, LinkSession
from accounts.pairing import attempts
from accounts.pairing.bridge_events import Outcome
from tests.support.faults import Breaker, breaks, mends, sweep_when_due
from tests.support.links import QR, READY, link, status_of
from tests.support.portal import PHONE, Portal
from webhooks.events.handlers import LIFECYCLE, Handler
from webhooks.inbox import process
from webhooks.models import WebhookEvent

__all__ = ["breaks", "mends"]

State = WebhookEvent.State


class TestAHandlerThatRaises:
    def test_is_answered_kept_and_moves_nothing(
        self, breaks: Breaker, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        breaks("session_authenticated", RuntimeError("boom"))
        answer = portal.post("session_authenticated", session)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "failed")
        event = WebhookEvent.objects.get()
        assert (event.state, event.attempts, event.finished_at) == (State.FAILED, 1, None)
        assert event.error == "RuntimeError: boom"
        assert status_of(account) == Status.QR_SCANNING

    def test_the_sweep_waits_until_it_is_due(self, breaks: Breaker, portal: Portal, session: LinkSession) -> None:
        runs = breaks("session_authenticated", RuntimeError("boom"))
        portal.post("session_authenticated", session)
        assert WebhookEvent.objects.get().due_at > timezone.now() + timedelta(seconds=5)
        assert process.sweep() == 0
        assert len(runs) == 1

    def test_the_pauses_grow(self, breaks: Breaker, portal: Portal, session: LinkSession) -> None:
        breaks("session_authenticated", RuntimeError("boom"))
        portal.post("session_authenticated", session)
        pauses = []
        for _ in range(6):
            sweep_when_due()
            pauses.append((WebhookEvent.objects.get().due_at - timezone.now()).total_seconds())
        assert pauses == sorted(pauses)
        assert pauses[-1] <= 720

    def test_after_eight_tries_it_is_dead(
        self, breaks: Breaker, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        runs = breaks("session_authenticated", RuntimeError("boom"))
        portal.post("session_authenticated", session)
        for _ in range(12):
            sweep_when_due()
        event = WebhookEvent.objects.get()
        assert (event.state, event.attempts, len(runs)) == (State.DEAD, 8, 8)
        assert event.finished_at is not None
        assert status_of(account) == Status.QR_SCANNING

    def test_once_the_fault_is_gone_it_is_applied(
        self, breaks: Breaker, mends: Any, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        breaks("session_ready", RuntimeError("boom"))
        portal.post("session_ready", session, **READY)
        sweep_when_due()
        mends("session_ready")
        assert sweep_when_due() == 1
        event = WebhookEvent.objects.get()
        assert (event.state, event.attempts, event.error) == (State.APPLIED, 3, "")
        assert status_of(account) == Status.CONNECTED
        assert account.phone_number == PHONE
        assert sweep_when_due() == 0

    def test_a_dead_letter_can_be_replayed_by_the_same_call_once_it_is_put_back(
        self, breaks: Breaker, mends: Any, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        breaks("session_ready", RuntimeError("boom"))
        portal.post("session_ready", session, **READY)
        for _ in range(9):
            sweep_when_due()
        mends("session_ready")
        WebhookEvent.objects.update(state=State.FAILED, attempts=0)
        assert process.retry(WebhookEvent.objects.get().pk)
        assert status_of(account) == Status.CONNECTED

    def test_one_broken_event_does_not_hold_up_the_others(
        self, breaks: Breaker, mends: Any, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        breaks("session_authenticated", RuntimeError("boom"))
        breaks("session_ready", RuntimeError("boom"))
        portal.post("session_authenticated", session)
        portal.post("session_ready", session, **READY)
        mends("session_ready")
        sweep_when_due()
        assert status_of(account) == Status.CONNECTED

    def test_a_fault_whose_text_cannot_be_stored_does_not_stop_the_sweep(
        self, breaks: Breaker, mends: Any, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """Half a surrogate pair, as a parser may quote it: the database refuses such text."""
        breaks("session_authenticated", RuntimeError("cannot read '\ud83d'"))
        breaks("session_ready", RuntimeError("boom"))
        assert portal.post("session_authenticated", session).status_code == 200
        portal.post("session_ready", session, **READY)
        mends("session_ready")
        sweep_when_due()
        assert status_of(account) == Status.CONNECTED

    def test_no_phone_number_is_logged(
        self, breaks: Breaker, portal: Portal, session: LinkSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        breaks("session_ready", ValueError(f"cannot link {PHONE}"))
        portal.post("session_ready", session, **READY)
        sweep_when_due()
        assert "ValueError" in caplog.text
        assert PHONE not in caplog.text

    def test_a_try_that_somebody_else_has_begun_is_left_to_them(
        self, breaks: Breaker, portal: Portal, session: LinkSession
    ) -> None:
        runs = breaks("session_authenticated", RuntimeError("boom"))
        portal.post("session_authenticated", session)
        lease = timezone.now() + timedelta(seconds=process.LEASE)
        WebhookEvent.objects.update(state=State.RECEIVED, attempts=2, due_at=lease)
        assert process.sweep() == 0
        assert len(runs) == 1

    @pytest.mark.django_db(transaction=True)
    def test_what_it_wrote_before_it_raised_is_taken_back(
        self, monkeypatch: pytest.MonkeyPatch, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        def half_way(session_pk: int, data: dict[str, Any]) -> Outcome:
            LIFECYCLE["session_ready"].apply(session_pk, {"phone_number": PHONE, "device_jid": "", "platform": ""})
            raise RuntimeError("after the work")

        monkeypatch.setitem(
            LIFECYCLE, "session_authenticated", Handler(LIFECYCLE["session_authenticated"].shape, half_way)
        )
        portal.post("session_authenticated", session)
        assert status_of(account) == Status.QR_SCANNING
        assert account.phone_number is None
        assert account.transitions.count() == 1


class TestLateRetries:
    def test_a_demoting_event_that_was_overtaken_moves_nothing(
        self, breaks: Breaker, mends: Any, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        breaks("session_disconnected", RuntimeError("boom"))
        portal.post("session_disconnected", session, reason="NAVIGATION")
        late = WebhookEvent.objects.get(state=State.FAILED)
        mends("session_disconnected")
        portal.post("session_disconnected", session, reason="NAVIGATION")
        portal.post("session_ready", session, **READY)
        sweep_when_due()
        late.refresh_from_db()
        assert (late.state, late.reason) == (State.IGNORED, "stale")
        assert status_of(account) == Status.CONNECTED

    def test_one_that_nothing_overtook_is_applied(
        self, breaks: Breaker, mends: Any, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        breaks("session_disconnected", RuntimeError("boom"))
        portal.post("session_disconnected", session, reason="NAVIGATION")
        mends("session_disconnected")
        sweep_when_due()
        assert status_of(account) == Status.DISCONNECTED

    def test_an_event_of_a_session_that_ended_meanwhile_moves_nothing(
        self, breaks: Breaker, mends: Any, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        breaks("session_ready", RuntimeError("boom"))
        portal.post("session_ready", session, **READY)
        mends("session_ready")
        attempts.force_reset(account.pk)
        sweep_when_due()
        assert WebhookEvent.objects.get().state == State.IGNORED
        assert status_of(account) == Status.INACTIVE
        assert account.phone_number is None

    def test_a_qr_event_has_no_code_any_more_and_is_ignored(
        self, breaks: Breaker, mends: Any, portal: Portal, session: LinkSession
    ) -> None:
        breaks("qr_code_generated", RuntimeError("boom"))
        portal.post("qr_code_generated", session, **QR)
        mends("qr_code_generated")
        sweep_when_due()
        event = WebhookEvent.objects.get()
        assert (event.state, event.reason) == (State.IGNORED, "stale")
        assert "qr_text" not in event.payload
        session.refresh_from_db()
        assert (session.qr_count, session.qr_svg) == (0, "")
