"""Browsers that have logged somebody in before. They have a budget of their own, so a stranger who guesses a person's
password all day keeps no known browser out.

The cookie is signed and names the browser and the people; it opens nothing. It comes only with a login that was whole.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from accounts.models import User

COOKIE = "linkdesk_browser"
PATH = "/admin/"
KEPT = 365 * 86_400  # seconds since the last login
PEOPLE_AT_MOST = 20  # of one browser; the one who has not logged in for longest is forgotten
SALT = "linkdesk.browser"


@dataclass(frozen=True)
class Browser:
    id: str
    people: tuple[int, ...] = ()  # by primary key, the last to log in last


def browser_of(request: HttpRequest) -> Browser | None:
    """None where the cookie is missing, forged or old."""
    try:
        read: Any = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=KEPT)
    except signing.BadSignature:
        return None
    return Browser(str(read["id"]), tuple(read["people"]))


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Note in the cookie that this browser has logged this person in."""
    browser = browser_of(request) or Browser(secrets.token_hex(8))
    people = [pk for pk in browser.people if pk != user.pk] + [user.pk]
    response.set_cookie(
        COOKIE,
        signing.dumps({"id": browser.id, "people": people[-PEOPLE_AT_MOST:]}, salt=SALT),
        max_age=KEPT,
        path=PATH,
        secure=settings.SECURE,
        httponly=True,
        samesite="Lax",
    )
