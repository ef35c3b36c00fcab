"""POST reset: one account whatever it does, or every pairing and no link."""

import pytest

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, LinkSession, Workspace
from accounts.pairing import attempts
from tests.api.conftest import Program, assert_refused, program, told
from tests.support.portal import Portal

pytestmark = pytest.mark.django_db


class TestReset:
    def test_one_account_whatever_it_does(
        self, asks: Program, account: Account, session: LinkSession, portal: Portal
    ) -> None:
        told(portal, session, "qr_code_generated", "session_authenticated", "session_ready")
        answer = asks.post("reset", account=str(account.uuid))
        assert answer.json() == {"success": True, "data": {"reset": 1}}
        account.refresh_from_db()
        session.refresh_from_db()
        assert (account.status, session.end_reason) == (Status.INACTIVE, EndReason.RESET)
        assert account.transitions.latest("pk").reason.startswith("API: token ld_")

    def test_every_pairing_but_no_link(
        self, asks: Program, workspace: Workspace, account: Account, session: LinkSession, portal: Portal
    ) -> None:
        told(portal, session, "qr_code_generated", "session_authenticated", "session_ready")
        for _ in range(3):
            attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        elsewhere = Account.objects.create(workspace=Workspace.objects.create(name="Toko Mallory"))
        attempts.start(elsewhere.pk, trigger="test")
        assert asks.post("reset").json()["data"] == {"reset": 3}
        assert asks.post("reset").json()["data"] == {"reset": 0}
        states = list(Account.objects.order_by("pk").values_list("status", flat=True))
        assert states == ["connected", "inactive", "inactive", "inactive", "qr_scanning"]

    @pytest.mark.parametrize("name", ["phone_number", "acount", "account_uuid"])
    def test_a_field_that_it_does_not_know_resets_nothing(self, asks: Program, session: LinkSession, name: str) -> None:
        error = assert_refused(asks.post("reset", **{name: "6281167328422"}), 400, "INVALID_FIELD")
        assert name in str(error)
        session.refresh_from_db()
        assert session.is_open

    def test_it_needs_manage(self, workspace: Workspace, account: Account, session: LinkSession) -> None:
        assert_refused(program(workspace, "read link").post("reset"), 403, "PERMISSION_DENIED")
        assert LinkSession.objects.get().is_open
