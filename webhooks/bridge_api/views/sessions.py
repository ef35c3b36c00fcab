"""Endpoints about a bridge's sessions: which to restore, how one is, and that one could not be restored."""

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bridges import in_turn, ownership
from accounts.housekeeping import cleanup
from accounts.models import Account, LinkSession
from accounts.pairing import bridge_events
from api.http.errors import ApiError
from webhooks import replays
from webhooks.authentication import bridge_of
from webhooks.bridge_api.responses import account_row, active_row, status_row
from webhooks.bridge_api.serializers import HealthNote, StatusWish
from webhooks.bridge_api.views.bridge_view import BridgeView
from webhooks.events.serializers import MarkDisconnected


class ActiveAccounts(BridgeView):
    """GET accounts/active: the sessions of this bridge with a stored login, but for those that run at another.

    One of several processes gets none: what it does not run may run in another.
    """

    def get(self, request: Request) -> Response:
        bridge_id = bridge_of(request)
        sessions = ownership.resumable(bridge_id).exclude(ownership.runs_elsewhere())
        sessions = sessions.exclude(bridge__in=in_turn.that_share_an_address())
        sessions = sessions.select_related("account").order_by("pk")
        return Response({"sessions": [active_row(session) for session in sessions]})


class MarkDisconnectedView(BridgeView):
    """POST sessions/{session_id}/mark-disconnected: the session could not be restored when the bridge started."""

    def admit(self, request: Request) -> None:
        """The bridge counts as heard only once this is known to be no replay."""

    def post(self, request: Request, session_id: str) -> Response:
        told = self.fields(request, MarkDisconnected)
        session = _session(request, session_id, workspace=told.get("workspace_id"))
        if replays.first_seen(request):
            raise ApiError(409, "REPLAYED", "This very request was here before. Sign each try anew.")
        super().admit(request)
        outcome = bridge_events.restore_failed(session.pk, reason=told["reason"])
        message = "The session is marked as disconnected." if not outcome else f"Nothing to do: {outcome}."
        return Response({"success": True, "message": message})


class AccountBySession(BridgeView):
    """GET, PATCH accounts/by-session/{session_id}. A PATCH notes that the bridge was heard, as every request does."""

    def get(self, request: Request, session_id: str) -> Response:
        return Response({"success": True, "data": account_row(_session(request, session_id))})

    def patch(self, request: Request, session_id: str) -> Response:
        self.fields(request, HealthNote)
        return Response({"success": True, "data": account_row(_session(request, session_id))})


class AccountStatus(BridgeView):
    """GET accounts/{session_id}/status?workspace_id=, and PATCH accounts/{id}/status, where the id is a number."""

    def get(self, request: Request, key: str) -> Response:
        session = _session(request, key, workspace=request.query_params.get("workspace_id"))
        return Response(status_row(session))

    def patch(self, request: Request, key: str) -> Response:
        self.fields(request, StatusWish)
        try:
            changed = cleanup.end_lapsed(_number(key), bridge_id=bridge_of(request))
        except Account.DoesNotExist as error:
            raise Http404 from error
        return Response({"success": True, "changed": changed})


def _session(request: Request, session_id: str, *, workspace: str | None = None) -> LinkSession:
    """Return the bridge's own session, within the workspace that the bridge names, if it names one."""
    mine: QuerySet[LinkSession] = ownership.sessions_of(bridge_of(request)).select_related("account")
    session = get_object_or_404(mine, session_id=session_id)
    if workspace not in {None, str(session.account.workspace_id)}:
        raise ApiError(404, "NOT_FOUND", "This workspace has no such session.")
    return session


def _number(key: str) -> int:
    """Return the id. A number of more than 18 digits is a 404: no row has it, and no database takes it."""
    if not (key.isascii() and key.isdigit() and len(key) <= 18):
        raise Http404
    return int(key)
