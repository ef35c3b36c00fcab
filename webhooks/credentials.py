"""Credentials of bridges and operators, and the accounts that each may have cleaned up.

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
from webhooks.signature import is_signed


class BridgeCredential(BaseAuthentication):
    """If a request has a signature, only that counts: a wrong signature beside a good key is a 401."""

    def authenticate(self, request: Request) -> tuple[Caller, int]:
        return (BridgeSignature() if is_signed(request) else BridgeKey()).authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return "X-API-Key"


class BridgeOrToken(BaseAuthentication):
    """For endpoints that bridges and operators may both call; the functions below say for which accounts.

    A token is recognised by its prefix. One bridge key in 262,144 has the same prefix; it may come as X-API-Key.
    """

    def authenticate(self, request: Request) -> tuple[Caller, int | WorkspaceToken] | None:
        if request.headers.get("Authorization", "").partition(" ")[2].strip().startswith(TOKEN_PREFIX):
            return WorkspaceTokens().authenticate(request)
        return BridgeCredential().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def all_accounts(request: Request) -> AccountQuerySet:
    """Return the accounts of the bridge in all its workspaces, or of the token's workspace. Raises ApiError 403."""
    if isinstance(request.auth, WorkspaceToken):
        return Account.objects.filter(workspace=admit(request, Scope.MANAGE).workspace)
    return cleanup.of_bridge(bridge_of(request))


def accounts_in(request: Request, workspace_id: int) -> AccountQuerySet:
    """As `all_accounts`, in one workspace. Raises ApiError 404 for one that is not theirs or does not exist."""
    if isinstance(request.auth, WorkspaceToken):
        return Account.objects.filter(workspace=admit(request, Scope.MANAGE, workspace_id).workspace)
    bridge = Bridge.objects.get(pk=bridge_of(request))
    if not (bridge.serves(workspace_id) and Workspace.objects.filter(pk=workspace_id).exists()):
        raise nothing_here()
    return all_accounts(request).filter(workspace=workspace_id)
