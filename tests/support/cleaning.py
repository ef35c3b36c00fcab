"""Cleanup as it is asked for, what has grown old enough for it, and whether an account has survived."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils import timezone

from accounts.housekeeping import cleanup
from accounts.models import Account, LinkSession
from tests.support.links import QR, link, move_back
from tests.support.portal import Portal
from tests.support.signing import signed_headers

MINUTE, HOUR, DAY = 60, 3600, 86_400
ALL = list(cleanup.CLEANABLE)


def ask(path: str, body: dict[str, Any], *, secret: str = "alpha") -> Any:
    raw, headers = signed_headers(f"{secret}-hmac", body)
    return Client().post(f"/api/whatsapp/accounts/{path}", raw, "application/json", headers=headers)


def clean(account: Account, statuses: list[str] | None = None, **more: Any) -> int:
    body = {"workspace_id": account.workspace_id, "cleanup_statuses": statuses or ALL, **more}
    answer = ask("cleanup", body)
    assert answer.status_code == 200, answer.content
    assert answer.json()["success"] is True
    return int(answer.json()["cleaned_count"])


def clean_stale(**body: int) -> dict[str, int]:
    answer = ask("cleanup-stale", body)
    assert answer.status_code == 200, answer.content
    breakdown: dict[str, int] = answer.json()["breakdown"]
    assert answer.json()["cleaned_count"] == sum(breakdown.values())
    return breakdown


def is_deleted(account: Account) -> bool:
    account.refresh_from_db()
    return account.deleted_at is not None


def assert_survives(account: Account, *, tried: Callable[[], Any]) -> None:
    """Neither the account nor its session is any other afterwards."""
    account.refresh_from_db()
    assert account.current_session is not None
    before = (account.status, account.version, account.deleted_at, account.current_session.ended_at)
    tried()
    account.refresh_from_db()
    assert account.current_session is not None
    assert (account.status, account.version, account.deleted_at, account.current_session.ended_at) == before


def lapsed(portal: Portal, session: LinkSession, *, ago: float) -> None:
    """A code was shown so long ago, nobody scanned it, and our worker did not run."""
    portal.post("qr_code_generated", session, **QR)
    move_back(session, ago)


def lost(portal: Portal, session: LinkSession, *, ago: float, reason: str = "NAVIGATION") -> None:
    link(portal, session)
    move_back(session, ago + DAY)
    portal.post("session_disconnected", session, reason=reason)
    Account.objects.filter(pk=session.account_id).update(status_changed_at=timezone.now() - timedelta(seconds=ago))
