"""New QR code, Force reset, Invite."""

import html
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, LinkInvitation, LinkSession, User
from accounts.models.invitation import hash_token
from accounts.pairing import attempts, cooldown
from accounts.pairing.attempts import May
from tests.sessions_admin.forms import act, said


def test_a_reset_ends_the_session_and_stands_in_the_history(
    as_alice: Client, alice: User, session: LinkSession
) -> None:
    account = session.account
    LinkInvitation.issue(account)

    response = act(as_alice, account, "force_reset", reason="Phone was stolen")

    session.refresh_from_db()
    entry = account.transitions.latest("pk")
    assert response.status_code == 302
    assert (session.end_reason, entry.new, entry.reason, entry.actor) == (
        EndReason.RESET,
        Status.INACTIVE,
        "Phone was stolen",
        alice,
    )
    assert not account.invitations.usable().exists()


def test_a_new_code_replaces_the_attempt_and_stands_in_the_history(
    as_alice: Client, alice: User, session: LinkSession
) -> None:
    act(as_alice, session.account, "renew_qr", reason="The code did not load")

    session.refresh_from_db()
    entry = session.account.transitions.latest("pk")
    assert session.end_reason == EndReason.RENEWED
    assert (entry.trigger, entry.reason, entry.actor) == ("admin", "The code did not load", alice)


def test_it_says_whether_a_new_code_comes_at_once_or_in_turn(as_alice: Client, account: Account) -> None:
    assert (
        said(act(as_alice, account, "renew_qr", reason="First")) == "A new QR code is on its way to the linking page."
    )
    attempts.force_reset(account.pk)
    Bridge.objects.update(pairings_at_once=0)
    words = "It waits for its turn: place 1 in line. Its QR code comes by itself."
    assert said(act(as_alice, account, "renew_qr", reason="Second")).endswith(words)


@pytest.mark.parametrize("action", ["renew_qr", "force_reset"])
def test_a_reason_is_required(as_alice: Client, session: LinkSession, action: str) -> None:
    for reason in ("", "   ", "x" * 501):
        response = act(as_alice, session.account, action, reason=reason)
        assert response.status_code == 200
        assert response.context["form"].errors.keys() == {"reason"}

    session.refresh_from_db()
    assert session.is_open


class TestAnAttemptThatWasScanned:
    @pytest.fixture
    def scanned(self, session: LinkSession) -> LinkSession:
        LinkSession.objects.filter(pk=session.pk).update(first_qr_at=timezone.now(), authenticated_at=timezone.now())
        Account.objects.filter(pk=session.account_id).update(
            status=Status.AUTHENTICATED, status_changed_at=timezone.now()
        )
        return session

    def test_is_not_interrupted_by_accident(self, as_alice: Client, scanned: LinkSession) -> None:
        response = act(as_alice, scanned.account, "renew_qr", reason="Impatient")

        scanned.refresh_from_db()
        assert "Wait, or tick this to go on all the same." in response.content.decode()
        assert cooldown.risk_of("PAIRING_IN_PROGRESS") in html.unescape(response.content.decode())
        assert scanned.is_open

    def test_is_interrupted_by_whoever_takes_the_risk(self, as_alice: Client, scanned: LinkSession) -> None:
        act(as_alice, scanned.account, "renew_qr", reason="It hangs", risk="on")

        scanned.refresh_from_db()
        assert scanned.end_reason == EndReason.RENEWED

    def test_is_no_risk_once_its_time_is_over(self, as_alice: Client, scanned: LinkSession) -> None:
        long_ago = timezone.now() - timedelta(minutes=5)
        LinkSession.objects.filter(pk=scanned.pk).update(authenticated_at=long_ago)
        Account.objects.filter(pk=scanned.account_id).update(status_changed_at=long_ago)

        act(as_alice, scanned.account, "renew_qr", reason="It hung")

        scanned.refresh_from_db()
        assert scanned.end_reason == EndReason.NEVER_READY
        assert scanned.account.sessions.filter(ended_at__isnull=True).count() == 1

    def test_is_not_interrupted_by_a_tick_that_was_not_offered(self, as_alice: Client, session: LinkSession) -> None:
        assert "risk" not in act(as_alice, session.account, "renew_qr").context["form"].fields


class TestAPhoneThatScannedInVain:
    @pytest.fixture
    def cooling(self, account: Account, bridge: Bridge) -> Account:
        """Five attempts of the last hour were scanned and failed."""
        now = timezone.now()
        for number in range(5):
            LinkSession.objects.create(
                session_id=f"vain_{number}",
                account=account,
                bridge=bridge,
                authenticated_at=now - timedelta(minutes=20),
                ended_at=now - timedelta(minutes=10, seconds=30),
                end_reason=EndReason.NEVER_READY,
            )
        return account

    def test_waits_unless_somebody_takes_the_risk(self, as_alice: Client, cooling: Account) -> None:
        dialog = html.unescape(act(as_alice, cooling, "renew_qr", reason="The owner is here").content.decode())

        assert cooldown.risk_of("PAIRING_COOLDOWN") in dialog
        assert "Without risk in 49 m." in dialog
        assert not cooling.sessions.filter(ended_at__isnull=True).exists()

    def test_gets_a_code_at_the_risk_of_whoever_ticks_it(self, as_alice: Client, alice: User, cooling: Account) -> None:
        act(as_alice, cooling, "renew_qr", reason="The owner is here", risk="on")

        note = cooling.transitions.get(trigger="cooldown_overridden")
        assert (note.actor, note.reason) == (alice, "The owner is here")
        assert cooling.sessions.get(ended_at__isnull=True).started_by == alice

    def test_is_told_on_its_page(self, as_alice: Client, cooling: Account) -> None:
        Account.objects.filter(pk=cooling.pk).update(current_session=cooling.sessions.latest("pk"))

        page = as_alice.get(f"/admin/accounts/account/{cooling.pk}/change/").content.decode()

        assert "The next start is allowed in 49 m." in page


def test_a_refusal_is_said_in_words(as_alice: Client, session: LinkSession) -> None:
    Account.objects.filter(pk=session.account_id).update(status=Status.CONNECTED)

    response = act(as_alice, session.account, "renew_qr", reason="Again")

    assert response.status_code == 302
    assert "This account is connected." in said(response)


def test_no_bridge_is_said_in_words(as_alice: Client, account: Account) -> None:
    Bridge.objects.update(draining=True)
    with pytest.raises(attempts.PairingRefused) as refusal:
        attempts.start(account.pk, trigger="test", may=May.RENEW)

    assert said(act(as_alice, account, "renew_qr", reason="Again")) == str(refusal.value)


def test_htmx_is_sent_back_to_the_page(as_alice: Client, account: Account) -> None:
    response = as_alice.post(
        f"/admin/accounts/account/{account.pk}/force_reset/", {"reason": "x"}, headers={"HX-Request": "true"}
    )

    assert response.headers["HX-Redirect"] == f"/admin/accounts/account/{account.pk}/change/"


def test_an_invitation_shows_its_address_once(as_alice: Client, alice: User, account: Account) -> None:
    response = act(as_alice, account, "invite", _form_submitted="on")

    token = response.content.decode().split("/link/")[1].split("/")[0]
    invitation = LinkInvitation.objects.get(token_hash=hash_token(token))
    assert (invitation.account, invitation.created_by) == (account, alice)
    assert "no-store" in response.headers["Cache-Control"]
    for address in (f"/admin/accounts/linkinvitation/{invitation.pk}/change/", "/admin/accounts/linkinvitation/"):
        later = as_alice.get(address).content.decode()
        assert token not in later
        assert invitation.token_hash not in later


def test_an_invitation_can_be_revoked(as_alice: Client, account: Account) -> None:
    LinkInvitation.issue(account)
    invitation = LinkInvitation.objects.get()

    as_alice.post(f"/admin/accounts/linkinvitation/{invitation.pk}/revoke/", {"_form_submitted": "on"})

    assert not LinkInvitation.objects.usable().exists()


def test_nothing_is_done_to_a_deleted_account(as_alice: Client, account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(deleted_at=timezone.now())

    for action in ("renew_qr", "force_reset", "invite"):
        assert act(as_alice, account, action, reason="x").status_code == 404
    assert "Force reset" not in as_alice.get(f"/admin/accounts/account/{account.pk}/change/").content.decode()


def test_each_action_has_its_own_permission(as_bob: Callable[..., Client], session: LinkSession) -> None:
    bob = as_bob("accounts.view_account", "accounts.reset_account")

    assert act(bob, session.account, "renew_qr", reason="x").status_code == 403
    assert act(bob, session.account, "invite", reason="x").status_code == 403
    assert act(bob, session.account, "force_reset", reason="x").status_code == 302


def test_who_may_not_look_may_not_act(as_bob: Callable[..., Client], session: LinkSession) -> None:
    assert act(as_bob("accounts.reset_account"), session.account, "force_reset", reason="x").status_code == 403


def test_the_dialogs_say_what_they_end(as_alice: Client, session: LinkSession) -> None:
    dialog = as_alice.get(f"/admin/accounts/account/{session.account_id}/renew_qr/").content.decode()

    assert "disconnected, it ends the old link and unlinks that device" in dialog


def test_the_form_says_what_switching_an_account_off_does(as_alice: Client, session: LinkSession) -> None:
    form = as_alice.get(f"/admin/accounts/account/{session.account_id}/change/").content.decode()

    assert "Without it no linking can be started" in form
