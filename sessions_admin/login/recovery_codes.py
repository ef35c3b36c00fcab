"""Recovery codes are shown once. The form that made them leads to a page of its own, so that reloading it sends nothing
again and makes no others; the codes are in the session in between, and the page takes them out.
"""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

NOTE = "recovery_codes"  # in the session


def lead_to(request: HttpRequest, page: str, codes: list[str], *, url: str, replace: bool) -> HttpResponse:
    """Show these codes on that page, which leads on to `url`; `replace` says that there were others before."""
    request.session[NOTE] = {"codes": codes, "url": url, "replace": replace}
    return redirect(page)


def show(request: HttpRequest, template: str) -> HttpResponse:
    note = request.session.pop(NOTE, None)
    if note is None:
        return redirect("login:own")
    page = render(request, template, admin.site.each_context(request) | {"title": _("Recovery codes")} | note)
    page.headers["Cache-Control"] = "no-store"
    return page
