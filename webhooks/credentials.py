"""Which credential a caller shows, and whose accounts it may have cleaned up.

A bridge shows its signature or its key, and acts on its own accounts; an operator's program shows a token, and acts on
the accounts of the token's workspace.
"""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.housekeeping import cleanup
from accounts.models import Account, Bridge, Workspace
from accounts.models.account import AccountQuerySet
from api.authentication import Caller, WorkspaceTokens, admit, nothing_here
from api.models import TOKEN_PREFIX, Scope, WorkspaceToken
from webhooks.authentication import BridgeKey, BridgeSignature, bridge_of

SIGNATURE_HEADERS = ("X-HMAC-Signature", "X-Timestamp")


class BridgeCredential(BaseAuthentication):
    """Whoever signs is held to the signature: a wrong one beside a good key is a 401."""

    def authenticate(self, request: Request) -> tuple[Caller, int]:
        signed = any(name in request.headers for name in SIGNATURE_HEADERS)
        return BridgeSignature().authenticate(request) if signed else BridgeKey().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return "X-API-Key"


class BridgeOrToken(BaseAuthentication):
    """For what bridges and operators may both ask for: webhooks/credentials.py says for which accounts.

    A token is known by how it begins. One bridge's key in 262,144 begins so, too, and may come as X-API-Key.
    """

    def authenticate(self, request: Request) -> tuple[Caller, int | WorkspaceToken] | None:
        if request.headers.get("Authorization", "").partition(" ")[2].strip().startswith(TOKEN_PREFIX):
            return WorkspaceTokens().authenticate(request)
        return BridgeCredential().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def all_accounts(request: Request) -> AccountQuerySet:
    """Of the bridge, in all workspaces that it serves; of the token's workspace. Raises ApiError 403."""
    if isinstance(request.auth, WorkspaceToken):
        return Account.objects.filter(workspace=admit(request, Scope.MANAGE).workspace)
    return cleanup.of_bridge(bridge_of(request))


def accounts_in(request: Request, workspace_id: int) -> AccountQuerySet:
    """As above, in one workspace. Raises ApiError 404 for one that is not theirs, or that is none."""
    if isinstance(request.auth, WorkspaceToken):
        return Account.objects.filter(workspace=admit(request, Scope.MANAGE, workspace_id).workspace)
    bridge = Bridge.objects.get(pk=bridge_of(request))
    if not (bridge.serves(workspace_id) and Workspace.objects.filter(pk=workspace_id).exists()):
        raise nothing_here()
    return all_accounts(request).filter(workspace=workspace_id)
