"""One reader of reasons: numbers, codes with text behind, words in any case, wherever a bridge gives one."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, LinkSession
from tests.support.linked_once import account, bridge, link_of_all, linked, session, workspace
from tests.support.links import QR, move_back, status_of
from tests.support.portal import Portal

__all__ = ["account", "bridge", "link_of_all", "linked", "session", "workspace"]

LOGGED_OUT: list[Any] = [
    401,
    403,
    401.0,
    "401",
    " 403 ",
    "401 Unauthorized",
    "401: logged out from another device",
    "403 - forbidden",
    "403, main device gone",
    "401 (stream error)",
    "LOGOUT",
    "logout",
    "loggedOut",
    "LOGGEDOUT: by the user",
    "Unpaired (by the phone)",
    "LOGOUT by user",
    "Logout from the phone",
    "LOGOUT!",
    "unpaired.",
    "(LOGOUT)",
    "[LOGOUT] by the user",
    "LOGGED_OUT",
    "Logged_Out",
    "logged-out",
    "Logged out",
    "UNPAIRED-IDLE",
    "(401)",
    "[401] unauthorized",
    "401!",
    "401/gone",
    "StreamError: 401",
    "disconnected: 401",
    "Error: 401 Unauthorized",
    "Stream errored (403)",
    "ConnectFailure [403]",
]
REFUSED: list[Any] = [
    402,
    406,
    "402",
    "402: for 24 h",
    "402 temporary ban",
    "temporaryban",
    "TEMPORARYBAN: 101",
    "tos_block",
    "TOS BLOCK",
    "SMB-TOS-BLOCK (business)",
    "TemporaryBan for 24 hours",
    "temporary_ban until tomorrow",
    "TemporaryBan 402",
    "{402}",
    "Error: 406",
]
PASSES: list[Any] = [
    500,
    503,
    428,
    418,
    4010,
    40,
    -401,
    None,
    True,
    [],
    [401],
    {},
    {"code": 401},
    "",
    "4010",
    "error 401",
    "logout soon",
    "logged_out",
    "re-logout",
    "CONFLICT",
    "conflict: replaced",
    "CONFLICT by another",
    "Error: Request failed with status code 401",
    "Timeout after 401 ms",
    "the phone said: 401 is not a number",
    "401_x",
    "(4010)",
    "failed to logout",
    "logout failed",
    "is it banned? 402",
    "()",
    "-401",
]


@pytest.fixture
def proven(linked: LinkSession) -> LinkSession:
    """A link that has held for ten minutes."""
    move_back(linked, 600)
    return linked


def mark_disconnected(session: LinkSession, reason: Any) -> None:
    url = f"/api/whatsapp/sessions/{session.session_id}/mark-disconnected"
    body = json.dumps({"reason": reason})
    assert Client().post(url, body, "application/json", headers={"X-API-Key": "alpha-key"}).status_code == 200


def tell(portal: Portal, session: LinkSession, where: str, reason: Any) -> EndReason | str:
    """How the session has ended then."""
    if where == "mark-disconnected":
        mark_disconnected(session, reason)
    else:
        assert portal.post(where, session, reason=reason).status_code == 200
    session.refresh_from_db()
    return session.end_reason


@pytest.mark.parametrize("where", ["session_disconnected", "session_expired", "mark-disconnected"])
class TestOfALink:
    @pytest.mark.parametrize("reason", LOGGED_OUT, ids=repr)
    def test_logged_out(self, portal: Portal, account: Account, proven: LinkSession, where: str, reason: Any) -> None:
        assert tell(portal, proven, where, reason) == EndReason.LOGGED_OUT
        assert status_of(account) == Status.LOGGED_OUT

    @pytest.mark.parametrize("reason", REFUSED, ids=repr)
    def test_refused(self, portal: Portal, account: Account, proven: LinkSession, where: str, reason: Any) -> None:
        assert tell(portal, proven, where, reason) == EndReason.REFUSED
        assert status_of(account) == Status.FAILED

    @pytest.mark.parametrize("reason", PASSES, ids=repr)
    def test_one_that_ends_nothing(
        self, portal: Portal, account: Account, proven: LinkSession, where: str, reason: Any
    ) -> None:
        expired = where == "session_expired"
        assert tell(portal, proven, where, reason) == (EndReason.GIVEN_UP if expired else "")
        assert status_of(account) == (Status.FAILED if expired else Status.DISCONNECTED)

    def test_right_after_the_scan_it_is_a_device_that_was_removed(
        self, portal: Portal, linked: LinkSession, where: str
    ) -> None:
        assert tell(portal, linked, where, 401) == EndReason.DEVICE_REMOVED


class TestOfAnAttempt:
    @pytest.mark.parametrize("reason", [405, "405 client outdated", "clientoutdated", "PROXYBLOCK: 1", 409])
    def test_that_cannot_link_ends_when_the_bridge_gives_it_up(
        self, portal: Portal, session: LinkSession, reason: Any
    ) -> None:
        portal.post("qr_code_generated", session, **QR)
        assert tell(portal, session, "session_expired", reason) == EndReason.REFUSED

    @pytest.mark.parametrize("reason", ["qr_not_scanned", "Max qrcode retries reached", None, 408])
    def test_that_nobody_scanned_has_expired(self, portal: Portal, session: LinkSession, reason: Any) -> None:
        portal.post("qr_code_generated", session, **QR)
        assert tell(portal, session, "session_expired", reason) == EndReason.QR_EXPIRED
