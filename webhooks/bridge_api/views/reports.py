"""Endpoints whose requests are kept, or only counted, and change no account."""

from django.conf import settings
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.http.rate_limit import Budget, address_of, network_of, passes
from api.http.strict_json import parse_told
from webhooks import rate_limits
from webhooks.authentication import BridgeSignature, bridge_of
from webhooks.bridge_api import reports
from webhooks.bridge_api.views.bridge_view import BridgeView
from webhooks.models import StoredReport


class ChatsSync(BridgeView):
    """POST chats/sync: one row, however many chats."""

    authentication_classes = [BridgeSignature]

    def post(self, request: Request) -> Response:
        rate_limits.charge_stray(bridge_of(request))
        chats = parse_told(request.body, exact={("session_id",)})
        is_new = reports.keep(bridge_of(request), StoredReport.Kind.CHATS, raw=request.body, payload=chats)
        return Response({"success": True, "outcome": "stored" if is_new else "duplicate"})


class MobileActivity(APIView):
    """POST /api/v1/whatsapp/webhook: unsigned, so anybody can send it. Its body is not read."""

    authentication_classes = []
    permission_classes = [AllowAny]

    def post(self, request: Request) -> Response:
        address = address_of(request._request)
        if passes(Budget("unsigned", f"address {network_of(address)}", settings.LINKDESK_LIMIT_OTHERS)):
            reports.count_stranger(address)
        return Response({"success": True}, status=202)
