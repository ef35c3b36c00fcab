"""Send test message, Move: what staff do with a link that stands."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Message, User
from tests.sessions_admin.forms import act, said
from tests.support.portal import make_bridge

PHONE = "6281116801641"


@pytest.fixture
def link(linked: Account, bridge: Bridge) -> LinkSession:
    """Connected for an hour."""
    then = timezone.now() - timedelta(hours=1)
    session = LinkSession.objects.create(
        session_id="webjs_1_1_linked", account=linked, bridge=bridge, authenticated_at=then, connected_at=then
    )
    Account.objects.filter(pk=linked.pk).update(status=Status.CONNECTED, current_session=session)
    return session


def page(client: Client, session: LinkSession) -> Any:
    return client.get(f"/admin/accounts/account/{session.account_id}/change/")


class TestATestMessage:
    def send(self, client: Client, session: LinkSession, number: str = "") -> Any:
        return act(client, session.account, "send_test_message", phone_number=number)

    def test_goes_to_the_number_that_was_typed(self, as_alice: Client, alice: User, link: LinkSession) -> None:
        assert "on its way" in said(self.send(as_alice, link, "+62 811-6732-8422"))

        order = link.orders.get()
        assert (order.kind, order.phone_number, order.actor) == ("test_message", "6281167328422", alice)

    def test_goes_to_its_own_number_by_default(self, as_alice: Client, link: LinkSession) -> None:
        dialog = as_alice.get(f"/admin/accounts/account/{link.account_id}/send_test_message/")
        assert dialog.context["form"]["phone_number"].initial == "+62 811-1680-1641"

        self.send(as_alice, link)

        assert link.orders.get().phone_number == PHONE

    def test_to_what_is_no_number_is_a_form_error(self, as_alice: Client, link: LinkSession) -> None:
        assert self.send(as_alice, link, "call me").context["form"].errors.keys() == {"phone_number"}
        assert not link.orders.exists()

    def test_from_an_account_that_is_not_connected_is_refused_in_words(
        self, as_alice: Client, session: LinkSession
    ) -> None:
        assert "The account is not connected" in said(self.send(as_alice, session, PHONE))
        assert not session.orders.filter(kind="test_message").exists()

    @pytest.mark.parametrize(
        ("state", "ack", "step"),
        [
            ("pending", None, "waiting"),
            ("confirmed", None, "sent"),
            ("confirmed", 2, "delivered"),
            ("confirmed", 3, "read"),
            ("failed", None, "failed"),
        ],
    )
    def test_is_followed_on_the_page(
        self, as_alice: Client, link: LinkSession, state: str, ack: int | None, step: str
    ) -> None:
        self.send(as_alice, link)
        BridgeOrder.objects.update(state=state, message_id="true_1", error="no such number")
        if ack is not None:
            Message.objects.create(session=link, message_id="true_1", ack_level=ack)

        line = page(as_alice, link).context["desk"].test

        assert step in line.step
        assert line.to == "+62 811-1680-1641"
        assert ("no such number" in line.text) is (state == "failed")

    def test_needs_permission(self, as_bob: Callable[..., Client], link: LinkSession) -> None:
        bob = as_bob("accounts.view_account", "accounts.reset_account")

        assert self.send(bob, link).status_code == 403
        assert not link.orders.exists()


class TestAMove:
    @pytest.fixture
    def beta(self) -> Bridge:
        return make_bridge("beta")

    def move(self, client: Client, session: LinkSession, bridge: Bridge, has_login: str) -> Any:
        asked = {"bridge": str(bridge.pk), "has_login": has_login, "reason": "alpha gets a new disk"}
        return act(client, session.account, "move", **asked)

    def test_with_the_login_hands_the_session_over(
        self, as_alice: Client, alice: User, link: LinkSession, beta: Bridge
    ) -> None:
        alpha = link.bridge

        self.move(as_alice, link, beta, "yes")

        link.refresh_from_db()
        entry = link.account.transitions.latest("pk")
        assert (link.bridge, link.is_open) == (beta, True)
        assert link.orders.get(kind="stop").bridge == alpha
        assert (entry.actor, entry.new) == (alice, Status.DISCONNECTED)
        assert "alpha gets a new disk" in entry.reason

    def test_without_it_the_phone_scans_again(self, as_alice: Client, link: LinkSession, beta: Bridge) -> None:
        self.move(as_alice, link, beta, "no")

        link.refresh_from_db()
        link.account.refresh_from_db()
        now = link.account.current_session
        assert not link.is_open
        assert now is not None
        assert (link.account.status, now.bridge) == (Status.QR_SCANNING, beta)

    def test_to_a_bridge_that_is_down_is_refused_in_words(
        self, as_alice: Client, link: LinkSession, beta: Bridge
    ) -> None:
        Bridge.objects.filter(pk=beta.pk).update(last_heard_at=timezone.now() - timedelta(hours=2))
        dialog = as_alice.get(f"/admin/accounts/account/{link.account_id}/move/").content.decode()
        assert "not heard of for 2" in dialog

        assert "has not been heard of lately" in said(self.move(as_alice, link, beta, "yes"))

        link.refresh_from_db()
        assert link.bridge.name == "alpha"

    def test_asks_for_everything(self, as_alice: Client, link: LinkSession, beta: Bridge) -> None:
        form = act(as_alice, link.account, "move", _form_submitted="on").context["form"]

        assert form.errors.keys() == {"bridge", "has_login", "reason"}

    def test_to_where_it_is_cannot_be_chosen(self, as_alice: Client, link: LinkSession) -> None:
        assert self.move(as_alice, link, link.bridge, "yes").context["form"].errors.keys() == {"bridge"}

    def test_needs_permission(self, as_bob: Callable[..., Client], link: LinkSession, beta: Bridge) -> None:
        assert self.move(as_bob("accounts.view_account", "accounts.renew_qr"), link, beta, "yes").status_code == 403


def test_the_page_offers_what_makes_sense_now(as_alice: Client, link: LinkSession, session: LinkSession) -> None:
    def offered(row: LinkSession) -> list[str]:
        return [action["path"].split("/")[-2] for action in page(as_alice, row).context["actions_detail"]]

    assert offered(link) == ["invite", "send_test_message", "move", "force_reset"]
    assert offered(session) == ["renew_qr", "invite", "force_reset"]
