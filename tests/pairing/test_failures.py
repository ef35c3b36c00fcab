"""Every reason that there is has plain words in both languages, and says what to do next."""

import re
from collections.abc import Callable

import pytest
from django.utils import translation

from accounts import failures
from accounts.failures import BRIDGE_REASONS, FAILURES, Failure, Fault
from accounts.lifecycle import EndReason, Status
from accounts.models import LinkSession
from accounts.pairing import bridge_events
from tests.support.portal import Portal

# docs/bridge-api.md, "Events", and the text of the library's own give-up.
OF_WEBJS = (
    *("LOGOUT", "CONFLICT", "UNPAIRED", "UNPAIRED_IDLE", "UNLAUNCHED", "DEPRECATED_VERSION", "PROXYBLOCK"),
    *("SMB_TOS_BLOCK", "TOS_BLOCK", "Max qrcode retries reached", "NAVIGATION", ""),
)
# What whatsmeow emits when it will not connect again by itself, and its numbers for a refused connection.
OF_WHATSMEOW = (
    *("LoggedOut", "StreamReplaced", "ClientOutdated", "CATRefreshError", "TemporaryBan", "ConnectFailure"),
    *("StreamError", "KeepAliveTimeout", "Disconnected", "PairError"),
    *("400", "401", "402", "403", "405", "406", "409", "413", "414", "415", "500", "501", "503"),
)
EVERY_REASON = [*EndReason.values, *OF_WEBJS, *OF_WHATSMEOW, "ENGINE_ERROR", "qr_not_scanned"]
ENDING = {
    "LOGOUT": EndReason.LOGGED_OUT,
    "UNPAIRED": EndReason.LOGGED_OUT,
    "UNPAIRED_IDLE": EndReason.LOGGED_OUT,
    "SMB_TOS_BLOCK": EndReason.REFUSED,
    "TOS_BLOCK": EndReason.REFUSED,
    **dict.fromkeys(("LoggedOut", "401", "403"), EndReason.LOGGED_OUT),
    **dict.fromkeys(("TemporaryBan", "402", "406"), EndReason.REFUSED),
}
OUR_FAULT = ("DEPRECATED_VERSION", "PROXYBLOCK", "ClientOutdated", "405", "409")
# Words of programmers, which help neither the person with the phone nor the one at the desk.
JARGON = re.compile(
    r"\b(sessions?|sockets?|websocket|stream|tokens?|webhooks?|bridges?|clients?|api|http|jid|cat|tos|payload|"
    r"time-?out|deprecated|keepalive|null|exception|error|sesi|soket|klien|jembatan)\b",
    re.IGNORECASE,
)


def meant(reason: str) -> Failure:
    return FAILURES[EndReason(reason)] if reason in EndReason.values else failures.of(reason)


def words(failure: Failure) -> tuple[str, str]:
    return str(failure.meaning), str(failure.todo)


@pytest.mark.parametrize("reason", EVERY_REASON)
class TestEveryReason:
    def test_is_in_the_table(self, reason: str) -> None:
        assert reason in FAILURES | BRIDGE_REASONS

    def test_says_what_it_means_and_what_to_do_in_both_languages(self, reason: str) -> None:
        failure = meant(reason)
        with translation.override("en"):
            english = words(failure)
        with translation.override("id"):
            indonesian = words(failure)
        for ours, theirs in zip(english, indonesian, strict=True):
            assert ours
            assert theirs
            assert ours != theirs

    def test_says_it_without_jargon(self, reason: str) -> None:
        for language in ("en", "id"):
            with translation.override(language):
                assert not [text for text in words(meant(reason)) if JARGON.search(text)]


class TestLookingOneUp:
    @pytest.mark.parametrize("write", [str.lower, str.upper, str.title, lambda reason: f" {reason} "])
    def test_minds_neither_case_nor_blanks(self, write: Callable[[str], str]) -> None:
        assert failures.of(write("CONFLICT")) == BRIDGE_REASONS["CONFLICT"]

    def test_takes_a_number_that_comes_with_its_text(self) -> None:
        assert failures.of("401: logged out from another device") == BRIDGE_REASONS["401"]

    @pytest.mark.parametrize("reason", ["gremlins", "418", "EEXIST: file already exists", "💥", "logout soon"])
    def test_takes_what_nobody_knows_for_something_that_passes(self, reason: str) -> None:
        assert failures.of(reason) is failures.UNKNOWN
        assert failures.UNKNOWN.retry
        assert failures.UNKNOWN.ends is None

    @pytest.mark.parametrize("reason", EndReason.values)
    def test_a_bridge_means_nothing_by_our_own_words(self, reason: str) -> None:
        assert failures.of(reason) in {failures.UNKNOWN, *BRIDGE_REASONS.values()}
        assert failures.of(reason).ends is None


class TestWhoseFault:
    def test_a_second_process_with_one_login_is_ours_and_passes(self) -> None:
        conflict = failures.of("CONFLICT")
        assert (conflict.fault, conflict.retry, conflict.ends) == (Fault.OURS, True, None)

    def test_an_end_that_the_person_could_not_help_is_not_theirs(self) -> None:
        theirs = {reason for reason, failure in FAILURES.items() if failure.fault == Fault.PERSON}
        assert not theirs & {EndReason.BRIDGE_UNAVAILABLE, EndReason.NEVER_READY, EndReason.REFUSED, EndReason.RESET}

    def test_what_ends_a_link_is_not_tried_again_and_all_else_is(self) -> None:
        assert {reason: failure.retry for reason, failure in BRIDGE_REASONS.items()} == {
            reason: reason not in ENDING for reason in BRIDGE_REASONS
        }
        assert {reason: failure.ends for reason, failure in BRIDGE_REASONS.items() if failure.ends} == ENDING

    @pytest.mark.parametrize("reason", OUR_FAULT)
    def test_what_is_ours_to_mend_costs_no_link(self, reason: str) -> None:
        failure = failures.of(reason)
        assert (failure.fault, failure.ends, failure.retry) == (Fault.OURS, None, True)
        assert "need not scan again" in str(failure.todo)

    @pytest.mark.parametrize("reason", [*OUR_FAULT, "CONFLICT", "KeepAliveTimeout", "503"])
    def test_once_it_is_over_nobody_is_told_that_we_keep_trying(self, reason: str) -> None:
        over = failures.of_end(EndReason.GIVEN_UP, reason)
        assert over.meaning == failures.of(reason).meaning
        assert "trying" not in str(over.todo)

    @pytest.mark.parametrize("reason", [EndReason.DEVICE_REMOVED, EndReason.NEVER_READY, "UNPAIRED_IDLE", "PairError"])
    def test_devices_that_may_be_left_are_to_be_removed(self, reason: str) -> None:
        assert "Linked devices" in str(meant(reason).todo)


@pytest.mark.django_db
class TestADisconnect:
    @pytest.mark.parametrize("reason", [*OF_WEBJS, *OF_WHATSMEOW])
    def test_ends_a_proven_link_only_for_the_reasons_that_say_so(
        self, portal: Portal, session: LinkSession, reason: str
    ) -> None:
        portal.post("session_ready", session, phone_number="6281167328422", status="connected")
        LinkSession.objects.update(connected_at="2026-01-01T00:00:00Z", authenticated_at="2026-01-01T00:00:00Z")
        portal.post("session_disconnected", session, **({"reason": reason} if reason else {}))
        session.refresh_from_db()
        assert session.end_reason == ENDING.get(reason, "")
        assert session.account.status == (
            Status.DISCONNECTED
            if reason not in ENDING
            else {EndReason.LOGGED_OUT: Status.LOGGED_OUT}.get(ENDING[reason], Status.FAILED)
        )

    def test_with_the_name_of_one_of_our_own_ends_ends_nothing(self, portal: Portal, session: LinkSession) -> None:
        portal.post("session_ready", session, phone_number="6281167328422", status="connected")
        portal.post("session_disconnected", session, reason=EndReason.RESET.value)
        session.refresh_from_db()
        assert session.is_open

    @pytest.mark.parametrize(("said", "why"), [("LOGOUT", "logged_out"), ("401: logged out", "logged_out"), ("x", "")])
    def test_of_a_restore_that_failed_is_the_same(
        self, portal: Portal, session: LinkSession, said: str, why: str
    ) -> None:
        portal.post("session_ready", session, phone_number="6281167328422", status="connected")
        LinkSession.objects.update(connected_at="2026-01-01T00:00:00Z", authenticated_at="2026-01-01T00:00:00Z")
        bridge_events.restore_failed(session.pk, reason=said)
        session.refresh_from_db()
        assert session.end_reason == why
        assert session.account.status == (Status.LOGGED_OUT if why else Status.DISCONNECTED)

    @pytest.mark.parametrize("reason", OUR_FAULT)
    def test_by_our_fault_ends_an_attempt_at_once_for_it_cannot_link(
        self, portal: Portal, session: LinkSession, reason: str
    ) -> None:
        portal.post("session_authenticated", session)
        portal.post("session_disconnected", session, reason=reason)
        session.refresh_from_db()
        assert session.end_reason == EndReason.REFUSED

    def test_that_ends_stands_in_the_history_with_what_the_bridge_said(
        self, portal: Portal, session: LinkSession
    ) -> None:
        portal.post("session_authenticated", session)
        portal.post("session_disconnected", session, reason="TOS_BLOCK")
        assert session.account.transitions.latest("pk").reason == "refused_by_whatsapp: TOS_BLOCK"
