"""Which of their credentials a caller shows: a bridge its signature or its key, an operator's program a token."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from api.authentication import Caller as Operator
from api.authentication import WorkspaceTokens
from api.models import WorkspaceToken
from webhooks.authentication import BridgeKey, BridgeSignature, Caller

SIGNATURE_HEADERS = ("X-HMAC-Signature", "X-Timestamp")
# Of WorkspaceToken.issue. One bridge's key in 262,144 begins so, too, and may come as X-API-Key.
TOKEN_PREFIX = "ld_"  # noqa: S105


class BridgeCredential(BaseAuthentication):
    """Whoever signs is held to the signature: a wrong one beside a good key is a 401."""

    def authenticate(self, request: Request) -> tuple[Caller, int]:
        signed = any(name in request.headers for name in SIGNATURE_HEADERS)
        return BridgeSignature().authenticate(request) if signed else BridgeKey().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return "X-API-Key"


class BridgeOrToken(BaseAuthentication):
    """For what bridges and operators may both ask for: webhooks/scope.py says for which accounts."""

    def authenticate(self, request: Request) -> tuple[Caller, int] | tuple[Operator, WorkspaceToken] | None:
        if request.headers.get("Authorization", "").partition(" ")[2].strip().startswith(TOKEN_PREFIX):
            return WorkspaceTokens().authenticate(request)
        return BridgeCredential().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
