"""Between the two steps of a login: the password is known, the second step is not done, and nobody is logged in.

Two kinds of people are here. Who has just given the password has a note in the session that ends after ten minutes, or
as soon as the password changes. Who was logged in when a role began to require the second step goes on in that session.
"""

import time
from dataclasses import dataclass
from typing import Any

import django_otp
from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from accounts.access import audit, second_factor, sessions
from accounts.models import User

NOTE = "second_step"  # in the session
NEW_KEY = "second_factor_key"  # in the session: the secret of the app that is being set up
PATIENCE = 600  # seconds


@dataclass(frozen=True)
class Halfway:
    user: User
    was_logged_in: bool


def begin(request: HttpRequest, user: User) -> None:
    """Note whose password was right. Nothing of an earlier login is left in this session."""
    request.session.flush()
    request.session[NOTE] = {"user": user.pk, "hash": user.get_session_auth_hash(), "at": time.time()}


def person_in(request: HttpRequest) -> Halfway | None:
    note: dict[str, Any] | None = request.session.get(NOTE)
    return _by_note(note) if note else _logged_in_before(request)


def _by_note(note: dict[str, Any]) -> Halfway | None:
    user = User.objects.filter(pk=note["user"], is_active=True, is_staff=True).first()
    is_late = time.time() - note["at"] > PATIENCE
    if user is None or is_late or not constant_time_compare(note["hash"], user.get_session_auth_hash()):
        return None
    return Halfway(user, was_logged_in=False)


def _logged_in_before(request: HttpRequest) -> Halfway | None:
    """A session with the mark of an app that is gone is not here: whoever holds it may have the phone too, and must
    give the password first."""
    user = auth.get_user(request)
    if not isinstance(user, User) or sessions.mark_of(request.session) is not None:
        return None
    is_halfway = sessions.knows_password(user, request.session) and not second_factor.is_done(user, None)
    return Halfway(user, was_logged_in=True) if is_halfway else None


def new_key(request: HttpRequest) -> str:
    """The secret that the set-up page shows: the same until it is used, and known to this session alone."""
    key: str = request.session.setdefault(NEW_KEY, second_factor.new_key())
    return key


def finish(request: HttpRequest, person: Halfway, app: Any, *, how: str) -> None:
    """Do the second step: only now is somebody logged in."""
    if person.was_logged_in:
        # The CSRF token stays, so that a form that is open in another tab can still be sent.
        request.session.cycle_key()
        request.user = person.user
        audit.record("login.second_step", actor=person.user, of=person.user, after={"second factor": how})
    else:
        let_in(request, person.user, how=how)
    mark(request, app)


def let_in(request: HttpRequest, user: User, *, how: str) -> None:
    auth.login(request, user, settings.AUTHENTICATION_BACKENDS[0])
    sessions.note_action(request.session)
    audit.record("login", actor=user, of=user, after={"second factor": how})


def mark(request: HttpRequest, app: Any) -> None:
    """Bind the session to this app, and forget what led here."""
    django_otp.login(request, app)
    for name in (NOTE, NEW_KEY):
        request.session.pop(name, None)
