"""Guessing is slow: budgets for passwords and for codes, and neither is taken while the budgets cannot be kept.

A name from one network has 10 tries a minute, a name from all networks together 100 an hour, and a network 60 a minute,
whatever the names. A browser that has logged the person in before has 10 a minute and 100 an hour of its own, and
spends none of the others: a stranger who has used them up, from the same network even, does not keep the person out.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import salted_hmac

from accounts.models import User
from api.http.errors import ApiError
from api.http.rate_limit import Budget, address_of, network_of, spend_or_refuse
from sessions_admin.login import known

PASSWORDS, CODES = "logins", "codes"  # the classes of the budgets
LONGEST = 150  # characters of a name, as the column; the form refuses longer ones before anybody is looked for


@dataclass(frozen=True)
class Target:
    """The person, or the name that nobody has, whose password or code is tried."""

    owner: str  # of the budgets
    user: User | None = None


def target_of(typed: str) -> Target:
    """Whose budget a typed name spends: the user's whom the database finds by it, else the cleaned name's.

    MariaDB finds `root` by `röot`, `ROOT` and `root ` too, and so would the login. A name that nobody has may be a
    password that was typed into the wrong field: it stands nowhere but as a digest.
    """
    stripped = typed.strip()
    as_the_form = unicodedata.normalize("NFKC", stripped) if len(stripped) <= LONGEST else stripped
    if len(as_the_form) > LONGEST:
        return Target("names that are too long")
    cleaned = unicodedata.normalize("NFKC", as_the_form.strip().casefold())
    for name in (as_the_form, cleaned):
        if user := User.objects.filter(username=name).first():
            return of_user(user)
    return Target(f"name {salted_hmac('linkdesk.name', cleaned).hexdigest()[:20]}")


def of_user(user: User) -> Target:
    return Target(f"user {user.pk}", user)


def spend_try(request: HttpRequest, kind: str, target: Target) -> None:
    """Count one try. Raises ApiError: 429 when no more is allowed now, 503 while Redis is down."""
    browser = known.browser_of(request)
    if browser and target.user and target.user.pk in browser.people:
        budgets = _of_known_browser(kind, f"{target.owner} browser {browser.id}")
    else:
        budgets = _of_strangers(kind, target.owner, network_of(address_of(request)))
    for budget in budgets:
        spend_or_refuse(budget)


def _of_known_browser(kind: str, owner: str) -> Iterator[Budget]:
    yield Budget(kind, owner, settings.LINKDESK_LIMIT_LOGINS)
    yield Budget(kind, owner, settings.LINKDESK_LIMIT_LOGINS_HOUR, "hour")


def _of_strangers(kind: str, owner: str, network: str) -> Iterator[Budget]:
    """The narrow one is first: who is refused by it does not use up what others have."""
    yield Budget(kind, f"{owner} from {network}"[:80], settings.LINKDESK_LIMIT_LOGINS)
    yield Budget(kind, f"network {network}"[:80], settings.LINKDESK_LIMIT_LOGINS_NETWORK)
    yield Budget(kind, owner, settings.LINKDESK_LIMIT_LOGINS_HOUR, "hour")


def refused(request: HttpRequest, error: ApiError) -> HttpResponse:
    """The page that says so."""
    wait = error.retry_after or 60
    context = {"busy": error.status_code == 503, "minutes": ceil(wait / 60)}
    page = render(request, "sessions_admin/no_login.html", context)
    page.status_code = error.status_code
    page["Retry-After"] = str(wait)
    return page
