"""Answers to a bridge about an account and its session: without secrets, and without anything of another bridge."""

from datetime import datetime
from typing import Any

from accounts.lifecycle import STATUS_AFTER, EndReason, Status
from accounts.models import LinkSession

# A Node bridge asks for a score but always reports 0 itself, so the score is computed from the status.
HEALTH = {Status.CONNECTED: 100, Status.AUTHENTICATED: 100, Status.DISCONNECTED: 50}
LOW_HEALTH = 0


def restore_row(session: LinkSession) -> dict[str, Any]:
    """`id` must not be null: a Node bridge then restores nothing (docs/bridge-contract.md, 1.5)."""
    return {
        "id": session.account_id,
        "session_id": session.session_id,
        "workspace_id": session.account.workspace_id,
    }


def active_row(session: LinkSession) -> dict[str, Any]:
    account = session.account
    return restore_row(session) | {
        "phone_number": account.phone_number,
        "status": account.status,
        "provider_type": account.provider_type,
    }


def status_row(session: LinkSession) -> dict[str, Any]:
    status = status_of(session)
    return {
        "session_id": session.session_id,
        "status": status,
        "phone_number": session.account.phone_number,
        "is_active": session.account.is_active,
        "last_activity_at": last_activity(session).isoformat(),
        "health_score": HEALTH.get(status, LOW_HEALTH),
    }


def account_row(session: LinkSession) -> dict[str, Any]:
    return active_row(session) | status_row(session)


def status_of(session: LinkSession) -> Status:
    """Return the account's status if this is its current session; a replaced session has the status of its own end."""
    if session.account.current_session_id == session.pk:
        return Status(session.account.status)
    return STATUS_AFTER.get(EndReason(session.end_reason), Status.INACTIVE) if session.end_reason else Status.INACTIVE


def last_activity(session: LinkSession) -> datetime:
    """Never null: a Node bridge takes null for 1970, and cleans the session up at once."""
    known = (session.started_at, session.last_seen_at, session.connected_at, session.ended_at)
    return max(moment for moment in known if moment is not None)
