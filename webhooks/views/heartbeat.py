"""POST bridges/heartbeat: what a bridge is and runs, answered with what to stop and what to restore."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import heartbeats
from webhooks.account_rows import restore_row
from webhooks.authentication import bridge_of
from webhooks.requests import BridgeHeartbeat
from webhooks.views.bridge_view import BridgeView


class HeartbeatView(BridgeView):
    def post(self, request: Request) -> Response:
        told = self.fields(request, BridgeHeartbeat)
        running = frozenset(session["session_id"] for session in told.pop("sessions"))
        advice = heartbeats.beat(bridge_of(request), heartbeats.Heartbeat(**told, running=running))
        restore = [restore_row(session) for session in advice.restore]
        return Response({"success": True, "stop": advice.stop, "restore": restore})
