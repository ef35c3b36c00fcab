"""POST bridges/heartbeat: what a bridge is and runs, answered with what to stop and what to restore."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import hearing
from accounts.bridge_client import Running
from webhooks.account_rows import restore_row
from webhooks.authentication import bridge_of
from webhooks.requests import BridgeHeartbeat
from webhooks.views.bridge_view import BridgeView


class HeartbeatView(BridgeView):
    def post(self, request: Request) -> Response:
        told = self.fields(request, BridgeHeartbeat)
        listed = {row["session_id"]: Running(**row) for row in told.pop("sessions")}
        advice = hearing.hear(bridge_of(request), hearing.Said(**told, listed=listed), heartbeat=True)
        restore = [restore_row(session) for session in advice.restore]
        return Response({"success": True, "stop": advice.stop, "restore": restore})
