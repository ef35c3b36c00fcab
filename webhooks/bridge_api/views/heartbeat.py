"""POST bridges/heartbeat: what a bridge is and runs, answered with what to stop and what to restore."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bridges.client import Running
from accounts.reconcile import heartbeat
from accounts.reconcile.said import Said
from api.http.errors import ApiError
from webhooks.authentication import bridge_of
from webhooks.bridge_api.responses import restore_row
from webhooks.bridge_api.serializers import BridgeHeartbeat
from webhooks.bridge_api.views.bridge_view import BridgeView
from webhooks.signature import BOOT, SEQUENCE, VERSION_2, sequence_of, short_header


class HeartbeatView(BridgeView):
    exact = frozenset({("boot",), ("sessions", "session_id")})

    def post(self, request: Request) -> Response:
        told = self.fields(request, BridgeHeartbeat)
        listed = {row["session_id"]: Running.read(row) for row in told.pop("sessions")}
        said = Said(**told, listed=listed)  # its list is as of now, whatever the bridge's clock says
        _refuse_replay(request, said)
        advice = heartbeat.hear(bridge_of(request), said, heartbeat=True)
        restore = [restore_row(session) for session in advice.restore]
        return Response({"success": True, "stop": advice.stop, "restore": restore})


def _refuse_replay(request: Request, said: Said) -> None:
    """Each heartbeat of a process has a higher number than the last. Without numbers, a replay cannot be told."""
    sequence, boot = sequence_of(request), short_header(request, BOOT)
    if boot not in {"", said.boot}:
        raise ApiError(400, "INVALID_HEADER", f"{BOOT} and the boot in the body must be the same.")
    if sequence is None or not said.boot:
        if VERSION_2 in request.headers:
            raise ApiError(400, "INVALID_HEADER", f"With {VERSION_2} a heartbeat needs {BOOT} and {SEQUENCE}.")
    elif not heartbeat.is_next(bridge_of(request), boot=said.boot, sequence=sequence):
        raise ApiError(409, "STALE_HEARTBEAT", f"A heartbeat with this {SEQUENCE} or a higher one was here before.")
