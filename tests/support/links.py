"""A link, as its bridge tells of it: the events up to ready, as if they were long ago, and what has become of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, BridgeOrder, LinkSession
from accounts.pairing import attempts
from tests.support.portal import PHONE, Portal

QR: dict[str, Any] = {"qr_text": "2@abc,def,ghi", "expires_in": 60, "qr_count": 1, "is_regeneration": False}
READY: dict[str, Any] = {
    "phone_number": PHONE,
    "status": "connected",
    "platform": "android",
    "extraction_method": "client.info.wid",
}


def status_of(account: Account) -> str:
    account.refresh_from_db()
    return account.status


def stops_of(session: LinkSession) -> Any:
    return session.orders.filter(kind=BridgeOrder.Kind.STOP)


def link(portal: Portal, session: LinkSession, **ready: str) -> None:
    portal.post("qr_code_generated", session, **QR)
    portal.post("session_authenticated", session, status="authenticated")
    portal.post("session_ready", session, **READY | ready)


def move_back(session: LinkSession, seconds: float) -> None:
    """As if the session, and what the account last did, had happened so much earlier."""
    session.refresh_from_db()
    shift = timedelta(seconds=seconds)
    moments = ("started_at", "admitted_at", "first_qr_at", "authenticated_at", "connected_at", "ended_at")
    for name in (*moments, "qr_expires_at"):
        if getattr(session, name):
            setattr(session, name, getattr(session, name) - shift)
    session.save()
    Account.objects.filter(pk=session.account_id).update(status_changed_at=timezone.now() - shift)


@pytest.fixture
def linked(portal: Portal, session: LinkSession) -> LinkSession:
    link(portal, session)
    session.refresh_from_db()
    return session


def long_over(session: LinkSession, **values: Any) -> LinkSession:
    """Ended 25 hours ago, as a reset leaves it."""
    attempts.force_reset(session.account_id)
    day = timezone.now() - timedelta(hours=25)
    LinkSession.objects.filter(pk=session.pk).update(
        ended_at=day, started_at=day, last_seen_at=None, connected_at=None, **values
    )
    session.refresh_from_db()
    return session
