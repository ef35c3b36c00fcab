"""The operator API below /api/whatsapp/. Each view reads the request, admits the caller, makes one call and answers."""

from base64 import b64encode
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import snapshots
from accounts.access import looks
from accounts.lifecycle import PAIRING, Status
from accounts.models import LinkSession
from api import health, openapi, serializers, status
from api.authentication import OPERATORS, admit, admit_to_codes
from api.http.errors import ApiError, envelope
from api.models import Scope
from api.pair import Paired, account_of, pair, reset
from api.serializers import read


def _paired(data: Paired) -> Response:
    """The status 202 means that nothing was started: the existing link is being restored."""
    return Response({"success": True, "data": data}, 202 if data["status"] == Status.DISCONNECTED else 201)


class PairView(APIView):
    authentication_classes = OPERATORS

    @openapi.PAIR
    def post(self, request: Request) -> Response:
        wanted = read(serializers.PairRequest, request)
        asker = admit(request, Scope.LINK, wanted.pop("workspace_id", None))
        return _paired(pair(asker, **wanted))

    @openapi.PAIRING
    def get(self, request: Request) -> Response:
        wanted = read(serializers.WhichPairing, request)
        asker = admit_to_codes(request, wanted.get("workspace_id"))
        account = account_of(asker, wanted["account"])
        seen = snapshots.take(account.pk)
        if seen["status"] not in PAIRING:
            raise ApiError(404, "NOT_PAIRING", "No pairing is in progress for this account.")
        shown = _pairing(seen)
        if shown["qr_svg"] or shown["qr_png_url"] or shown["pairing_code"]:
            looks.saw_code(account, session_id=seen["session_id"], actor=asker.actor, who=asker.name)
        return Response({"success": True, "data": shown})


class FreshCodeView(APIView):
    """POST accounts/generate-qr: the same as `pair`, under the path that older systems know."""

    authentication_classes = OPERATORS

    @openapi.FRESH_CODE
    def post(self, request: Request) -> Response:
        wanted = read(serializers.FreshCodeRequest, request)
        asker = admit(request, Scope.LINK, wanted.pop("workspace_id"))
        return _paired(pair(asker, **wanted))


class ResetView(APIView):
    authentication_classes = OPERATORS

    @openapi.RESET
    def post(self, request: Request) -> Response:
        wanted = read(serializers.ResetRequest, request)
        asker = admit(request, Scope.MANAGE, wanted.get("workspace_id"))
        return Response({"success": True, "data": {"reset": reset(asker, account=wanted.get("account"))}})


class StatusView(APIView):
    authentication_classes = OPERATORS

    @openapi.STATUS
    def get(self, request: Request) -> Response:
        asker = admit(request, Scope.READ, read(serializers.Named, request).get("workspace_id"))
        return Response({"success": True, "data": status.of_workspace(asker.workspace)})


class HealthView(APIView):
    authentication_classes = OPERATORS

    @openapi.HEALTH
    def get(self, request: Request) -> Response:
        asker = admit(request, Scope.READ, read(serializers.Named, request).get("workspace_id"))
        found = health.examine(asker.workspace)
        if found.missing:
            return Response(envelope("NOT_HEALTHY", " ".join(found.missing)) | {"data": found.parts}, 503)
        return Response({"success": True, "data": found.parts})


def _pairing(seen: snapshots.Snapshot) -> dict[str, Any]:
    names = set(serializers.PairingData().fields) - {"qr_png_url"}
    return {name: value for name, value in seen.items() if name in names} | {"qr_png_url": _png(seen)}


def _png(seen: snapshots.Snapshot) -> str:
    """Return the code as a data: URL, which needs no second credential to open."""
    png = LinkSession.objects.values_list("qr_png", flat=True).filter(session_id=seen["session_id"]).first()
    return f"data:image/png;base64,{b64encode(png).decode()}" if seen["qr_png"] and png else ""
