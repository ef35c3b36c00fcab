"""POST bridges/heartbeat: what a bridge is and runs, answered with what to stop and what to restore."""

from datetime import datetime

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bridges.client import Running
from accounts.reconcile import heartbeat
from accounts.reconcile.said import Said
from api.http.errors import ApiError
from webhooks import replays
from webhooks.authentication import bridge_of
from webhooks.bridge_api.responses import restore_row
from webhooks.bridge_api.serializers import BridgeHeartbeat
from webhooks.bridge_api.views.bridge_view import BridgeView
from webhooks.signature import BOOT, SEQUENCE, VERSION_2, sequence_of, short_header


class HeartbeatView(BridgeView):
    exact = frozenset({("boot",), ("sessions", "session_id")})

    def admit(self, request: Request) -> None:
        """Its list tells that it was heard, once this is no replay."""

    def post(self, request: Request) -> Response:
        told = self.fields(request, BridgeHeartbeat)
        listed = {row["session_id"]: Running.read(row) for row in told.pop("sessions")}
        said = Said(**told, listed=listed)  # its list is as of now, whatever the bridge's clock says
        _refuse_replay(request, said)
        advice = heartbeat.hear(bridge_of(request), said, heartbeat=True)
        restore = [restore_row(session) for session in advice.restore]
        return Response({"success": True, "stop": advice.stop, "restore": restore})


def _refuse_replay(request: Request, said: Said) -> None:
    """Each heartbeat of a process that numbers them has a higher number than the last.

    Version 1 covers no header: there the number may have been changed or taken off, so that the very same request again
    is refused whatever its headers say. Only where no number was ever said may it be another one of the same second.
    """
    sequence, boot = sequence_of(request), short_header(request, BOOT)
    if boot not in {"", said.boot}:
        raise ApiError(400, "INVALID_HEADER", f"{BOOT} and the boot in the body must be the same.")
    if VERSION_2 in request.headers and (sequence is None or not said.boot):
        raise ApiError(400, "INVALID_HEADER", f"With {VERSION_2} a heartbeat needs {BOOT} and {SEQUENCE}.")
    if not _is_next(bridge_of(request), said.boot, sequence, first_seen=replays.first_seen(request)):
        text = f"A heartbeat with this {SEQUENCE} or a higher one was here before, or this very request was."
        raise ApiError(409, "STALE_HEARTBEAT", text)


def _is_next(bridge_id: int, boot: str, sequence: int | None, *, first_seen: datetime | None) -> bool:
    if not boot:
        return not replays.is_late(first_seen)
    if sequence is None:
        return not (replays.is_late(first_seen) or heartbeat.has_numbers(bridge_id, boot=boot))
    return first_seen is None and heartbeat.is_next(bridge_id, boot=boot, sequence=sequence)
