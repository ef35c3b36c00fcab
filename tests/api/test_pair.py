"""POST and GET pair: the table of states in the design, and who may do what."""

import base64
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from accounts import qr
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkInvitation, LinkSession, Transition, Workspace
from tests.api.conftest import PHONE, Program, assert_refused, program, told
from tests.support.links import QR, move_back
from tests.support.portal import Portal
from tests.support.races import at_once

pytestmark = pytest.mark.django_db
PNG = "data:image/png;base64," + base64.b64encode(qr.PNG + b"rest of an image").decode()


class TestWhichAccount:
    def test_a_phone_that_is_new_gets_an_account_and_a_page(
        self, asks: Program, workspace: Workspace, bridge: Bridge
    ) -> None:
        answer = asks.post("pair", phone_number="+62 811-1680-1641", label="Toko Budi")
        assert answer.status_code == 201, answer.content
        account, session = Account.objects.get(), LinkSession.objects.get()
        data = answer.json()["data"]
        assert data.pop("link_url").startswith("http")
        assert 0 < data.pop("expires_in") <= 60
        paired = {"session_id": session.session_id, "status": "qr_scanning", "place": 0}
        assert data == {"account": str(account.uuid)} | paired
        assert (account.phone_number, account.label, account.workspace) == (PHONE, "Toko Budi", workspace)
        assert BridgeOrder.objects.get().session == session

    def test_the_page_is_the_accounts(self, asks: Program, bridge: Bridge) -> None:
        url = asks.post("pair", phone_number=PHONE).json()["data"]["link_url"]
        page = asks.client.get("/link/" + url.split("/link/")[1] + "snapshot")
        assert page.json()["account"] == str(Account.objects.get().uuid)

    def test_a_known_phone_is_the_same_account(self, asks: Program, workspace: Workspace, bridge: Bridge) -> None:
        known = Account.objects.create(workspace=workspace, phone_number=PHONE, label="Old")
        assert asks.post("pair", phone_number=PHONE, label="New").json()["data"]["account"] == str(known.uuid)
        assert Account.objects.get().label == "Old"

    def test_a_deleted_account_is_not_the_phones(self, asks: Program, workspace: Workspace, bridge: Bridge) -> None:
        gone = Account.objects.create(workspace=workspace, phone_number=PHONE, deleted_at=timezone.now())
        assert asks.post("pair", phone_number=PHONE).json()["data"]["account"] != str(gone.uuid)

    def test_by_its_uuid(self, asks: Program, account: Account) -> None:
        assert asks.post("pair", account=str(account.uuid)).json()["data"]["account"] == str(account.uuid)

    def test_one_that_was_merged_is_the_one_it_lives_on_as(
        self, asks: Program, workspace: Workspace, account: Account
    ) -> None:
        merged = Account.objects.create(workspace=workspace, merged_into=account, deleted_at=timezone.now())
        assert asks.post("pair", account=str(merged.uuid)).json()["data"]["account"] == str(account.uuid)

    def test_without_either_it_is_a_placeholder(self, asks: Program, bridge: Bridge) -> None:
        for _ in range(2):
            assert asks.post("pair", label="Counter 1").status_code == 201
        assert [account.label for account in Account.objects.all()] == ["Counter 1"] * 2

    def test_nobody_is_404(self, asks: Program, bridge: Bridge) -> None:
        assert_refused(asks.post("pair", account=str(uuid.uuid4())), 404, "NOT_FOUND")

    def test_a_deleted_account_is_404(self, asks: Program, account: Account) -> None:
        Account.objects.update(deleted_at=timezone.now())
        assert_refused(asks.post("pair", account=str(account.uuid)), 404, "NOT_FOUND")

    def test_both_at_once_is_refused(self, asks: Program, account: Account) -> None:
        answer = asks.post("pair", account=str(account.uuid), phone_number=PHONE)
        assert "not both" in assert_refused(answer, 400, "INVALID_FIELD")["message"]

    @pytest.mark.parametrize(
        "body",
        [
            {"phone_number": "0811"},
            {"phone_number": ""},
            {"account": "x"},
            {"label": "x" * 121},
            {"force": "perhaps"},
            {"workspace_id": 0},
        ],
    )
    def test_what_is_wrong_is_named(self, asks: Program, bridge: Bridge, body: dict[str, Any]) -> None:
        assert next(iter(body)) in assert_refused(asks.post("pair", **body), 400, "INVALID_FIELD")["message"]
        assert not Account.objects.exists()


class TestStates:
    @pytest.mark.parametrize("status", [Status.INACTIVE, Status.QR_EXPIRED, Status.LOGGED_OUT, Status.FAILED])
    def test_nothing_in_progress_is_201(self, asks: Program, account: Account, status: Status) -> None:
        Account.objects.update(status=status)
        answer = asks.post("pair", account=str(account.uuid))
        assert (answer.status_code, answer.json()["data"]["status"]) == (201, "qr_scanning")

    @pytest.mark.parametrize("status", [Status.QR_SCANNING, Status.ACTION_REQUIRED])
    def test_in_progress_is_429_with_the_seconds(
        self, asks: Program, account: Account, session: LinkSession, status: Status
    ) -> None:
        Account.objects.update(status=status)
        error = assert_refused(asks.post("pair", account=str(account.uuid)), 429, "PAIRING_IN_PROGRESS")
        assert 0 < error["retry_after"] <= (60 if status == Status.QR_SCANNING else 300)

    @pytest.mark.parametrize("status", [Status.QR_SCANNING, Status.ACTION_REQUIRED])
    def test_force_renews_what_waits_for_its_scan(
        self, workspace: Workspace, account: Account, session: LinkSession, status: Status
    ) -> None:
        Account.objects.update(status=status)
        answer = program(workspace, "link").post("pair", account=str(account.uuid), force=True)
        assert answer.status_code == 201, answer.content
        session.refresh_from_db()
        assert session.end_reason == EndReason.RENEWED

    def test_scanned_is_429_also_with_force(
        self, workspace: Workspace, account: Account, session: LinkSession, portal: Portal
    ) -> None:
        told(portal, session, "qr_code_generated", "session_authenticated")
        for force in (False, True):
            answer = program(workspace, "link").post("pair", account=str(account.uuid), force=force)
            assert 0 < assert_refused(answer, 429, "PAIRING_IN_PROGRESS")["retry_after"] <= 90

    def test_scanned_is_interrupted_by_force_with_manage(
        self, workspace: Workspace, account: Account, session: LinkSession, portal: Portal
    ) -> None:
        told(portal, session, "qr_code_generated", "session_authenticated")
        who = program(workspace, "link manage")
        assert_refused(who.post("pair", account=str(account.uuid)), 429, "PAIRING_IN_PROGRESS")
        assert who.post("pair", account=str(account.uuid), force=True).status_code == 201

    @pytest.mark.parametrize("force", [False, True])
    def test_connected_is_409(
        self, asks: Program, account: Account, session: LinkSession, portal: Portal, force: bool
    ) -> None:
        told(portal, session, "qr_code_generated", "session_authenticated", "session_ready")
        move_back(session, 121)  # out of the quiet time
        assert_refused(asks.post("pair", account=str(account.uuid), force=force), 409, "ALREADY_CONNECTED")
        session.refresh_from_db()
        assert session.is_open

    def test_disconnected_is_superseded(
        self, asks: Program, account: Account, session: LinkSession, portal: Portal
    ) -> None:
        told(portal, session, "qr_code_generated", "session_authenticated", "session_ready")
        move_back(session, 121)
        session.orders.update(created_at=session.started_at)
        Account.objects.update(status=Status.DISCONNECTED)
        assert asks.post("pair", account=str(account.uuid)).status_code == 201
        session.refresh_from_db()
        assert session.end_reason == EndReason.SUPERSEDED

    def test_an_attempt_that_lapsed_unnoticed_ends_first(
        self, asks: Program, account: Account, session: LinkSession, portal: Portal
    ) -> None:
        told(portal, session, "qr_code_generated")
        LinkSession.objects.update(first_qr_at=F("first_qr_at") - timedelta(seconds=121))
        assert asks.post("pair", account=str(account.uuid)).status_code == 201
        session.refresh_from_db()
        assert session.end_reason == EndReason.QR_EXPIRED

    def test_the_history_says_who(self, asks: Program, account: Account) -> None:
        asks.post("pair", account=str(account.uuid))
        row = Transition.objects.get()
        assert row.trigger == "api"
        assert row.reason.startswith("token ld_")


@pytest.mark.django_db(transaction=True)  # what is refused is rolled back: a transaction around the test would hide it
class TestRefusals:
    @pytest.mark.parametrize("body", [{"phone_number": PHONE}, {"label": "Counter"}, {}])
    def test_no_bridge_is_503_and_leaves_no_account(self, asks: Program, body: dict[str, Any]) -> None:
        answer = asks.post("pair", **body)
        error = assert_refused(answer, 503, "NO_BRIDGE_AVAILABLE")
        assert answer["Retry-After"] == str(error["retry_after"]) == "30"
        assert not Account.objects.exists()
        assert not LinkInvitation.objects.exists()

    def test_too_many_placeholders_is_429_and_leaves_no_account(
        self, asks: Program, bridge: Bridge, settings: Any
    ) -> None:
        settings.LINKDESK_MAX_OPEN_PLACEHOLDERS = 2
        for _ in range(2):
            asks.post("pair")
        assert_refused(asks.post("pair"), 429, "TOO_MANY_PAIRINGS")
        assert Account.objects.count() == 2

    def test_a_wait_in_progress_makes_no_second_page(self, asks: Program, bridge: Bridge) -> None:
        asks.post("pair", phone_number=PHONE)
        assert_refused(asks.post("pair", phone_number=PHONE), 429, "PAIRING_IN_PROGRESS")
        assert LinkInvitation.objects.count() == 1

    def test_a_token_that_may_only_read_is_403(self, workspace: Workspace, bridge: Bridge) -> None:
        error = assert_refused(program(workspace, "read").post("pair"), 403, "PERMISSION_DENIED")
        assert "'link'" in error["message"]
        assert not Account.objects.exists()


class TestGenerateQr:
    def test_it_pairs(self, asks: Program, workspace: Workspace, bridge: Bridge) -> None:
        answer = asks.post("accounts/generate-qr", workspace_id=workspace.pk, phone_number=PHONE)
        assert answer.status_code == 201
        assert set(answer.json()["data"]) == {"account", "session_id", "status", "expires_in", "place", "link_url"}

    def test_a_lapsed_attempt_ends_and_the_account_stays(
        self, asks: Program, workspace: Workspace, bridge: Bridge, portal: Portal
    ) -> None:
        ask = partial(asks.post, "accounts/generate-qr", workspace_id=workspace.pk, phone_number=PHONE)
        ask()
        session = LinkSession.objects.get()
        told(portal, session, "qr_code_generated")
        assert_refused(ask(), 429, "PAIRING_IN_PROGRESS")
        LinkSession.objects.update(first_qr_at=F("first_qr_at") - timedelta(seconds=121))
        assert ask().status_code == 201
        session.refresh_from_db()
        assert session.end_reason == EndReason.QR_EXPIRED
        assert Account.objects.count() == 1

    def test_the_workspace_must_be_named_and_ones_own(self, asks: Program, bridge: Bridge) -> None:
        assert_refused(asks.post("accounts/generate-qr"), 400, "INVALID_FIELD")
        assert_refused(asks.post("accounts/generate-qr", workspace_id=999), 404, "NOT_FOUND")


class TestGet:
    def test_before_the_first_code(self, asks: Program, account: Account, session: LinkSession) -> None:
        data = asks.get("pair", account=account.uuid).json()["data"]
        assert 0 < data.pop("expires_in") <= 60
        assert data == {
            "account": str(account.uuid),
            "session_id": session.session_id,
            "status": "qr_scanning",
            "place": 0,
            "qr_svg": "",
            "qr_png_url": "",
            "qr_expires_in": None,
            "qr_count": 0,
            "pairing_code": "",
            "action_message": "",
        }

    def test_a_code_as_an_image(self, asks: Program, account: Account, session: LinkSession, portal: Portal) -> None:
        portal.post("qr_code_generated", session, qr_code=PNG, expires_in=60, qr_count=1)
        data = asks.get("pair", account=account.uuid).json()["data"]
        assert (data["qr_png_url"], data["qr_svg"], data["qr_count"]) == (PNG, "", 1)

    def test_a_code_as_text(self, asks: Program, account: Account, session: LinkSession, portal: Portal) -> None:
        portal.post("qr_code_generated", session, **QR)
        data = asks.get("pair", account=account.uuid).json()["data"]
        assert data["qr_svg"].startswith("<svg")
        assert data["qr_png_url"] == ""
        assert 0 < data["qr_expires_in"] <= 60

    def test_none_in_progress_is_404(self, asks: Program, account: Account) -> None:
        assert_refused(asks.get("pair", account=account.uuid), 404, "NOT_PAIRING")

    def test_a_lapsed_one_is_not_in_progress(self, asks: Program, account: Account, session: LinkSession) -> None:
        LinkSession.objects.update(admitted_at=F("admitted_at") - timedelta(seconds=61))
        assert_refused(asks.get("pair", account=account.uuid), 404, "NOT_PAIRING")

    def test_nobody_is_404(self, asks: Program, workspace: Workspace) -> None:
        assert_refused(asks.get("pair", account=uuid.uuid4()), 404, "NOT_FOUND")

    def test_it_changes_nothing(self, asks: Program, account: Account, session: LinkSession) -> None:
        version = Account.objects.get().version
        asks.get("pair", account=account.uuid)
        assert Account.objects.get().version == version


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_of_fifty_at_once_one_pairs_and_the_others_are_told_to_wait(workspace: Workspace, bridge: Bridge) -> None:
    asks = [program(workspace) for _ in range(50)]
    answers = at_once([partial(who.post, "pair", phone_number=PHONE) for who in asks])
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(refused) == 49
    for answer in refused:
        assert 0 < assert_refused(answer, 429, "PAIRING_IN_PROGRESS")["retry_after"] <= 60
    assert (Account.objects.count(), LinkSession.objects.filter(ended_at=None).count()) == (1, 1)
    assert (LinkSession.objects.count(), BridgeOrder.objects.count(), LinkInvitation.objects.count()) == (1, 1, 1)
