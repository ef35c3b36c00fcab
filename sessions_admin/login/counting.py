"""A session that does not count is nobody's: the admin and the API then see an anonymous visitor."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.contrib.auth.middleware import get_user
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from accounts.access import sessions
from accounts.models import User
from sessions_admin.login import halfway

ADMIN = "/admin/"
STEPS = (f"{ADMIN}login/", f"{ADMIN}logout/")  # where people are on their way in or out
REFRESHES_ITSELF = "X-Linkdesk-Refresh"  # "1" in requests that no person has made: docs/operations.md


class OnlyGoodSessions:
    """Who is behind a request is looked up when somebody asks, as by Django: pages for everybody ask nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.user = cast(User, SimpleLazyObject(partial(_whoever_counts, request)))
        request.auser = partial(_awhoever_counts, request)
        if request.path.startswith(ADMIN) and not request.path.startswith(STEPS):
            if request.user.is_authenticated:
                _note(request)
            elif request.method == "POST" and halfway.person_in(request):
                return _second_step_first(request)
        return self.get_response(request)


def _whoever_counts(request: HttpRequest) -> User | AnonymousUser:
    user = get_user(request)
    if not isinstance(user, User) or not sessions.is_good(user, request.session):
        return AnonymousUser()
    if sessions.ACTED_AT not in request.session:  # begun before actions were noted
        sessions.note_action(request.session)
    return user


async def _awhoever_counts(request: HttpRequest) -> Any:
    return await sync_to_async(_whoever_counts)(request)


def _note(request: HttpRequest) -> None:
    if request.headers.get(REFRESHES_ITSELF) != "1":
        sessions.note_action(request.session)


def _second_step_first(request: HttpRequest) -> HttpResponse:
    """Save nothing, and lose nothing: the form stays in its tab, and can be sent again after the second step."""
    address = reverse("login:second_step")
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": address})
    return render(request, "sessions_admin/login/first.html", {"address": address}, status=403)
