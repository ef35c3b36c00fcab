"""Whose accounts a caller may have cleaned up: a bridge its own, a workspace token those of its workspace."""

from rest_framework.request import Request

from accounts import cleanup
from accounts.models import Account, Bridge, Workspace
from accounts.models.account import AccountQuerySet
from api.authentication import admit, nothing_here
from api.models import Scope, WorkspaceToken
from webhooks.authentication import bridge_of


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
