"""Which of their credentials a caller shows: a bridge its signature or its key, an operator's program a token."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from api.authentication import Caller, WorkspaceTokens
from api.models import TOKEN_PREFIX, WorkspaceToken
from webhooks.authentication import BridgeKey, BridgeSignature

SIGNATURE_HEADERS = ("X-HMAC-Signature", "X-Timestamp")


class BridgeCredential(BaseAuthentication):
    """Whoever signs is held to the signature: a wrong one beside a good key is a 401."""

    def authenticate(self, request: Request) -> tuple[Caller, int]:
        signed = any(name in request.headers for name in SIGNATURE_HEADERS)
        return BridgeSignature().authenticate(request) if signed else BridgeKey().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return "X-API-Key"


class BridgeOrToken(BaseAuthentication):
    """For what bridges and operators may both ask for: webhooks/scope.py says for which accounts.

    A token is known by how it begins. One bridge's key in 262,144 begins so, too, and may come as X-API-Key.
    """

    def authenticate(self, request: Request) -> tuple[Caller, int | WorkspaceToken] | None:
        if request.headers.get("Authorization", "").partition(" ")[2].strip().startswith(TOKEN_PREFIX):
            return WorkspaceTokens().authenticate(request)
        return BridgeCredential().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
