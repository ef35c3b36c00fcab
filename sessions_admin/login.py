"""Guessing passwords is slow: a budget per address and per user name, and no logins while it cannot be kept."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from api.http.errors import ApiError
from api.http.rate_limit import Budget, address_of, network_of, spend_or_refuse

PATH = "/admin/login/"


class LoginLimit:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST" or request.path != PATH:
            return self.get_response(request)
        try:
            for owner in (
                f"address {network_of(address_of(request))}",
                f"name {request.POST.get('username', '')[:64].lower()}",
            ):
                spend_or_refuse(Budget("logins", owner, settings.LINKDESK_LIMIT_LOGINS))
        except ApiError as error:
            page = render(request, "sessions_admin/no_login.html", {"busy": error.status_code == 503})
            page.status_code = error.status_code
            page["Retry-After"] = str(error.retry_after)
            return page
        return self.get_response(request)
