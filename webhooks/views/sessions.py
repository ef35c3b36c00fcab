"""What a bridge asks about its sessions: which to restore, and that one could not be."""

from typing import Any

from django.shortcuts import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import bridge_reports
from accounts.lifecycle import Status
from accounts.models import LinkSession
from api.errors import ApiError
from api.strict_json import parse_object
from webhooks.authentication import BridgeKey, bridge_of
from webhooks.serializers import MarkDisconnected

RESTORABLE = [Status.AUTHENTICATED, Status.CONNECTED, Status.DISCONNECTED]


class ActiveAccounts(APIView):
    """GET accounts/active: the sessions of this bridge with a stored login. One without would show a QR code."""

    authentication_classes = [BridgeKey]

    def get(self, request: Request) -> Response:
        sessions = LinkSession.objects.filter(
            bridge=bridge_of(request),
            ended_at__isnull=True,
            authenticated_at__isnull=False,
            account__status__in=RESTORABLE,
            account__deleted_at__isnull=True,
        )
        return Response({"sessions": [_row(session) for session in sessions.select_related("account").order_by("pk")]})


class MarkDisconnectedView(APIView):
    """POST sessions/{session_id}/mark-disconnected: the session could not be restored when the bridge started."""

    authentication_classes = [BridgeKey]

    def post(self, request: Request, session_id: str) -> Response:
        shape = MarkDisconnected(data=parse_object(request.body or b"{}"))
        shape.is_valid(raise_exception=True)
        mine = LinkSession.objects.filter(bridge=bridge_of(request)).select_related("account")
        session = get_object_or_404(mine, session_id=session_id)
        if shape.validated_data.get("workspace_id", str(session.account.workspace_id)) != str(
            session.account.workspace_id
        ):
            raise ApiError(404, "NOT_FOUND", "This workspace has no such session.")
        outcome = bridge_reports.restore_failed(session.pk, reason=shape.validated_data["reason"])
        message = "The session is marked as disconnected." if not outcome else f"Nothing to do: {outcome}."
        return Response({"success": True, "message": message})


def _row(session: LinkSession) -> dict[str, Any]:
    """`id` must not be null: a Node bridge then restores nothing (docs/bridge-api.md)."""
    account = session.account
    return {
        "id": account.pk,
        "session_id": session.session_id,
        "workspace_id": account.workspace_id,
        "phone_number": account.phone_number,
        "status": account.status,
        "provider_type": account.provider_type,
    }
