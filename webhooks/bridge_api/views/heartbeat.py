"""POST bridges/heartbeat: what a bridge is and runs, answered with what to stop and what to restore."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bridges.client import Running
from accounts.reconcile import heartbeat
from webhooks.authentication import bridge_of
from webhooks.bridge_api.responses import restore_row
from webhooks.bridge_api.serializers import BridgeHeartbeat
from webhooks.bridge_api.views.bridge_view import BridgeView


class HeartbeatView(BridgeView):
    exact = frozenset({("boot",), ("sessions", "session_id")})

    def post(self, request: Request) -> Response:
        told = self.fields(request, BridgeHeartbeat)
        listed = {row["session_id"]: Running.read(row) for row in told.pop("sessions")}
        advice = heartbeat.hear(bridge_of(request), heartbeat.Said(**told, listed=listed), heartbeat=True)
        restore = [restore_row(session) for session in advice.restore]
        return Response({"success": True, "stop": advice.stop, "restore": restore})
