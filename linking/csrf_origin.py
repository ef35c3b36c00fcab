"""A form of a page with `Referrer-Policy: no-referrer` is posted with `Origin: null` (the Fetch standard, "append a
request Origin header"), which Django's CSRF check refuses: no button would work without script."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse

TokenView = Callable[[HttpRequest, str], HttpResponse]


def knows_own_forms(view: TokenView) -> TokenView:
    """Wrap `csrf_protect`: restore the form's origin, as far as the browser vouches for it."""

    @wraps(view)
    def restored(request: HttpRequest, token: str) -> HttpResponse:
        if request.META.get("HTTP_ORIGIN") == "null":
            _restore_origin(request)
        return view(request, token)

    return restored


def _restore_origin(request: HttpRequest) -> None:
    """No page can forge Sec-Fetch-Site. Over plain HTTP browsers leave it out, and the token alone decides."""
    site = request.META.get("HTTP_SEC_FETCH_SITE")
    if site == "same-origin":
        request.META["HTTP_ORIGIN"] = f"{request.scheme}://{request.get_host()}"
    elif site is None and not request.is_secure():
        del request.META["HTTP_ORIGIN"]
