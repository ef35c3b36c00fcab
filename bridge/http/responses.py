"""The API shows a session in three shapes, all of them the reference bridge's (contract 2)."""

from typing import Any

from bridge.sessions.stored import Session


def listed(session: Session) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "workspace_id": session.workspace_id,
        "status": session.status,
        "phone_number": session.phone_number,
        "connected_at": session.connected_at,
    }


def status(session: Session) -> dict[str, Any]:
    return listed(session) | {"last_activity": session.last_activity}


def metadata(session: Session) -> dict[str, Any]:
    """Null fields are left out, as on the reference bridge. The code is included only while it can be scanned."""
    fields = {
        "workspaceId": session.workspace_id,
        "accountId": session.account_id,
        "status": session.status,
        "createdAt": session.created_at,
        "phoneNumber": session.phone_number,
        "lastActivity": session.last_activity,
        "loggedIn": session.logged_in,
        "qrCode": session.qr_code,
        "qrText": session.qr_text,
        "qrGeneratedAt": session.qr_generated_at,
        "qrCount": session.qr_count or None,
        "authenticatedAt": session.authenticated_at,
        "platform": session.platform,
        "connectedAt": session.connected_at,
        "phoneExtractionMethod": session.extraction_method,
    }
    return {name: value for name, value in fields.items() if value is not None}
