"""Authentication of operators: a program with a workspace token, or a member of the staff who is logged in.

An object outside the asker's workspace gives the same 404 as one that does not exist.
"""

from dataclasses import dataclass
from typing import cast

from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from accounts.models import User, Workspace
from api.http.errors import NOTHING_HERE, ApiError
from api.http.rate_limit import guarded
from api.models import Scope, WorkspaceToken

# A staff login has the scopes of its permissions: the API must not be a way around the admin.
PERMISSIONS = {
    Scope.READ: "accounts.view_account",
    Scope.LINK: "accounts.renew_qr",
    Scope.MANAGE: "accounts.reset_account",
}
SEE_CODES = "accounts.see_codes"
INVITE = "accounts.add_linkinvitation"
# What a person needs to give a scope to a program: with `link` it gets codes, and addresses of linking pages.
TO_GIVE = {scope: [permission] for scope, permission in PERMISSIONS.items()}
TO_GIVE[Scope.LINK] += [SEE_CODES, INVITE]


class Caller:
    """An authenticated caller. `request.auth` is the credential: the token, the user, or the bridge's primary key."""

    is_authenticated = True


@dataclass(frozen=True)
class Asker:
    workspace: Workspace
    scopes: frozenset[Scope]
    actor: User | None  # None: a program
    name: str  # for the history

    @property
    def may_invite(self) -> bool:
        """Whether the caller may have the address of a linking page, which shows the code."""
        return self.actor is None or self.actor.has_perms([INVITE, SEE_CODES])


class WorkspaceTokens(BaseAuthentication):
    @guarded
    def authenticate(self, request: Request) -> tuple[Caller, WorkspaceToken] | None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = WorkspaceToken.objects.find(value.strip())
        if token is None:
            raise ApiError(401, "INVALID_TOKEN", "This token is unknown, expired or revoked.")
        token.note_use()
        return Caller(), token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class StaffSessions(SessionAuthentication):
    """The admin's login. A logged-in user who is not staff counts as not authenticated."""

    def authenticate(self, request: Request) -> tuple[Caller, User] | None:
        user = cast(User, request._request.user)
        if not (user.is_active and user.is_staff):
            return None
        request.body  # noqa: B018  # first: the check of the CSRF token reads a form from the stream otherwise
        try:
            self.enforce_csrf(request)
        except PermissionDenied as error:
            text = "Send the CSRF token of your login as X-CSRFToken, from a page of this site."
            raise ApiError(403, "CSRF_FAILED", text) from error
        return Caller(), user


OPERATORS = [WorkspaceTokens, StaffSessions]


def admit(request: Request, scope: Scope, workspace_id: int | None = None) -> Asker:
    """Let the caller into the workspace. Raises ApiError: 404 for a workspace that is not theirs, 403, 400."""
    shown: WorkspaceToken | User = request.auth  # type: ignore[assignment]  # the stubs know DRF's own tokens only
    asker = _of_token(shown, workspace_id) if isinstance(shown, WorkspaceToken) else _of_staff(shown, workspace_id)
    if scope not in asker.scopes:
        raise _needs(scope, PERMISSIONS[scope])
    return asker


def admit_to_codes(request: Request, workspace_id: int | None = None) -> Asker:
    """Let the caller into the workspace to see codes: by them a phone is linked. Raises ApiError as `admit`."""
    shown: WorkspaceToken | User = request.auth  # type: ignore[assignment]  # as above
    if isinstance(shown, WorkspaceToken):
        return admit(request, Scope.LINK, workspace_id)
    asker = admit(request, Scope.READ, workspace_id)
    if not shown.has_perm(SEE_CODES):
        raise _needs(Scope.LINK, SEE_CODES)
    return asker


def _needs(scope: Scope, permission: str) -> ApiError:
    text = f"This needs the scope '{scope}'; of staff, the permission {permission}."
    return ApiError(403, "PERMISSION_DENIED", text)


def _of_token(token: WorkspaceToken, workspace_id: int | None) -> Asker:
    if workspace_id not in {None, token.workspace_id}:
        raise nothing_here()
    scopes = frozenset(Scope(scope) for scope in token.scopes.split())
    return Asker(token.workspace, scopes, None, f"token {token.prefix}")


def _of_staff(user: User, workspace_id: int | None) -> Asker:
    if workspace_id is None:
        raise ApiError(400, "INVALID_FIELD", "workspace_id: Say which workspace you mean.")
    workspace = user.workspaces_seen().filter(pk=workspace_id).first()
    if workspace is None:
        raise nothing_here()
    scopes = frozenset(scope for scope, permission in PERMISSIONS.items() if user.has_perm(permission))
    return Asker(workspace, scopes, user, user.get_username())


def nothing_here() -> ApiError:
    return ApiError(404, "NOT_FOUND", NOTHING_HERE)
