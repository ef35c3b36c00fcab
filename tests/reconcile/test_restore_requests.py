"""What a bridge asks and says when it restores: the sessions that have a login, and those that did not come up."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.lifecycle import Status
from accounts.models import Account, LinkSession, Workspace
from accounts.pairing import attempts
from tests.support.links import QR, link, status_of
from tests.support.portal import Portal, make_bridge
from tests.support.refusals import assert_refused

ACTIVE = "/api/whatsapp/accounts/active"


class TestActiveAccounts:
    def listed(self, key: str = "alpha-key") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = Client().get(ACTIVE, headers={"X-API-Key": key}).json()["sessions"]
        return rows

    def test_a_linked_session_with_all_that_a_restore_needs(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        assert self.listed() == [
            {
                "id": account.pk,
                "session_id": session.session_id,
                "workspace_id": account.workspace_id,
                "phone_number": "6281167328422",
                "status": "connected",
                "provider_type": "webjs",
            }
        ]

    def test_another_bridge_sees_only_its_own(self, portal: Portal, session: LinkSession) -> None:
        make_bridge("beta")
        link(portal, session)
        assert self.listed("beta-key") == []

    def test_one_that_was_never_scanned_is_not_listed(self, portal: Portal, session: LinkSession) -> None:
        """Its restore would show a QR code that nobody looks at."""
        portal.post("qr_code_generated", session, **QR)
        assert self.listed() == []

    def test_one_that_has_ended_is_not_listed(self, portal: Portal, account: Account, session: LinkSession) -> None:
        link(portal, session)
        attempts.force_reset(account.pk)
        assert self.listed() == []

    def test_one_that_was_lost_is_listed(self, portal: Portal, session: LinkSession) -> None:
        link(portal, session)
        portal.post("session_disconnected", session, reason="NAVIGATION")
        assert [row["status"] for row in self.listed()] == ["disconnected"]


class TestMarkDisconnected:
    def mark(self, session: LinkSession, body: Any, *, key: str = "alpha-key", below: str = "sessions") -> Any:
        url = f"/api/whatsapp/{below}/{session.session_id}/mark-disconnected"
        return Client().post(url, json.dumps(body), "application/json", headers={"X-API-Key": key})

    @pytest.mark.parametrize("below", ["sessions", "accounts"])
    def test_a_session_that_could_not_be_restored(
        self, portal: Portal, account: Account, session: LinkSession, below: str
    ) -> None:
        link(portal, session)
        body = {"workspace_id": account.workspace_id, "reason": "EEXIST: file already exists"}
        answer = self.mark(session, body, below=below)
        assert (answer.status_code, answer.json()["success"]) == (200, True)
        assert status_of(account) == Status.DISCONNECTED
        transition = account.transitions.first()
        assert transition is not None
        assert (transition.trigger, transition.reason) == ("mark_disconnected", "EEXIST: file already exists")

    @pytest.mark.parametrize("convert", [str, int])
    def test_the_workspace_id_may_be_text(
        self, portal: Portal, account: Account, session: LinkSession, convert: Any
    ) -> None:
        link(portal, session)
        assert self.mark(session, {"workspace_id": convert(account.workspace_id)}).status_code == 200
        assert status_of(account) == Status.DISCONNECTED

    def test_twice_is_once(self, portal: Portal, account: Account, session: LinkSession) -> None:
        link(portal, session)
        for _ in range(2):
            assert self.mark(session, {}).status_code == 200
        assert account.transitions.filter(new=Status.DISCONNECTED).count() == 1

    def test_another_workspace(self, portal: Portal, account: Account, session: LinkSession) -> None:
        link(portal, session)
        other = Workspace.objects.create(name="Toko Bob")
        assert_refused(self.mark(session, {"workspace_id": other.pk}), 404, "NOT_FOUND")
        assert status_of(account) == Status.CONNECTED

    def test_another_bridges_session(self, portal: Portal, account: Account, session: LinkSession) -> None:
        make_bridge("beta")
        link(portal, session)
        assert_refused(self.mark(session, {}, key="beta-key"), 404, "NOT_FOUND")
        assert status_of(account) == Status.CONNECTED

    def test_a_session_that_never_was(self, session: LinkSession) -> None:
        session.session_id = "webjs_1_1_nobody00"
        assert_refused(self.mark(session, {}), 404, "NOT_FOUND")

    @pytest.mark.parametrize("body", [[], "x", {"workspace_id": []}], ids=str)
    def test_a_body_that_is_none(self, portal: Portal, account: Account, session: LinkSession, body: Any) -> None:
        link(portal, session)
        answer = self.mark(session, body)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"]
        assert status_of(account) == Status.CONNECTED
