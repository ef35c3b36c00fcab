"""An account in each state, brought there by what really happens."""

from collections.abc import Callable

import pytest

from accounts.lifecycle import Status
from accounts.models import Account, LinkSession
from accounts.pairing import attempts
from tests.support.links import QR, link, move_back, status_of
from tests.support.portal import Portal

Reach = Callable[[Status], Account]


@pytest.fixture
def reach(portal: Portal, account: Account) -> Reach:
    """reach(status): the account, brought there by what really happens."""

    def go(status: Status) -> Account:
        if status != Status.INACTIVE:
            ROADS[status](portal, attempts.start(account.pk, trigger="test"))
        assert status_of(account) == status
        return account

    return go


def _expire(portal: Portal, session: LinkSession) -> None:
    portal.post("qr_code_generated", session, **QR)
    move_back(session, 121)
    attempts.expire(session.pk)


def _lose(portal: Portal, session: LinkSession, **reason: str) -> None:
    link(portal, session)
    portal.post("session_disconnected", session, **reason)


ROADS: dict[Status, Callable[[Portal, LinkSession], object]] = {
    Status.QR_SCANNING: lambda portal, session: portal.post("qr_code_generated", session, **QR),
    Status.ACTION_REQUIRED: lambda portal, session: portal.post("session_action_required", session, kind="passkey"),
    Status.AUTHENTICATED: lambda portal, session: portal.post("session_authenticated", session),
    Status.CONNECTED: link,
    Status.DISCONNECTED: _lose,
    Status.QR_EXPIRED: _expire,
    Status.LOGGED_OUT: lambda portal, session: _lose(portal, session, reason="LOGOUT"),
    Status.FAILED: lambda portal, session: portal.post("session_error", session, error="phone_extraction_failed"),
}


def in_peace(account: Account) -> Account:
    """After the quiet time."""
    account.refresh_from_db()
    if account.current_session is not None:
        move_back(account.current_session, 121)
    return account
