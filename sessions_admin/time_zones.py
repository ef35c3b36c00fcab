"""Staff read the times of the admin in their own time zone; other pages are not for staff and stay as they are."""

from collections.abc import Callable
from zoneinfo import available_timezones

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

NAMES = ["UTC", *sorted(available_timezones() - {"UTC"})]  # a machine without zone files has none


class StaffTimeZone:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/admin/"):
            return self.get_response(request)
        name = getattr(request.user, "time_zone", None)
        with timezone.override(name if name in NAMES else None):  # the name may be made up, or gone
            return self.get_response(request)
