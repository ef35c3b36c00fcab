"""The base class of all views for bridges."""

from typing import Any

from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts.bridges import presence
from api.http.strict_json import Path, parse_told
from api.serializers import checked
from webhooks.credentials import BridgeCredential


class BridgeView(APIView):
    authentication_classes = [BridgeCredential]
    exact: frozenset[Path] = frozenset()  # where texts stand that are ids

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.admit(request)

    def admit(self, request: Request) -> None:
        """Take a request that is authentic: its bridge was heard. A view that refuses replays does so before."""
        if isinstance(request.auth, int):
            presence.hear(request.auth)

    def parse(self, raw: bytes) -> dict[str, Any]:
        return parse_told(raw, exact=self.exact)

    def fields(self, request: Request, shape: type[Serializer[Any]]) -> dict[str, Any]:
        """Validate the body by `shape`; no body counts as an empty object. Raises ApiError and ValidationError."""
        return checked(shape, self.parse(request.body or b"{}"))
