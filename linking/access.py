"""Access to a linking page: anybody who has the token of a usable invitation may see it."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from accounts.models import LinkInvitation

Invited = Callable[[HttpRequest, LinkInvitation], HttpResponse]


def invited(view: Invited) -> Callable[[HttpRequest, str], HttpResponse]:
    """Give a view the invitation of its token; 404 for a token that never existed, 410 for one that is over."""

    @wraps(view)
    def guarded(request: HttpRequest, token: str) -> HttpResponse:
        return keep_private(_enter(request, token, view))

    return guarded


def wants_json(request: HttpRequest) -> bool:
    """The page's script says so; a form without script does not."""
    return request.headers.get("Accept", "") == "application/json"


def refuse(code: str, message: str, *, status: int, retry_after: int | None = None) -> JsonResponse:
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    error = {"code": code, "message": message, "retry_after": retry_after}
    return JsonResponse({"error": error}, status=status, headers=headers)


def keep_private(response: HttpResponse) -> HttpResponse:
    """The address is a secret and its code may be scanned: no cache, no referrer and no search engine may keep it."""
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex"
    return response


def _enter(request: HttpRequest, token: str, view: Invited) -> HttpResponse:
    invitation = LinkInvitation.objects.find(token)
    if invitation is None:
        return render(request, "404.html", status=404)
    if not invitation.is_usable:
        context = {"workspace": invitation.account.workspace, "is_revoked": invitation.revoked_at is not None}
        return render(request, "linking/gone.html", context, status=410)
    return view(request, invitation)
