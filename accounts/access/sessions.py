"""Which sessions of staff count: the admin and the API ask here, and so will the sockets of live pages."""

import time
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.utils.crypto import constant_time_compare
from django_otp import DEVICE_ID_SESSION_KEY

from accounts.access import second_factor
from accounts.models import User

IDLE_AT_MOST = 8 * 3600  # seconds without an action of the person's own
NOTED_EVERY = 60  # seconds: a person who clicks writes the session once a minute
ACTED_AT = "acted_at"  # in the session: the second of the last action that was noted


def person_of(session_key: str) -> User | None:
    """The person whose session this is, as the database has both now; None if it does not count (any more)."""
    session = SessionStore(session_key)
    user = User.objects.filter(pk=str(session.get(SESSION_KEY, 0))).first()
    return user if user is not None and is_good(user, session) else None


def is_good(user: User, session: SessionBase) -> bool:
    """Whether the session counts: the person is of the staff and active, the password is the one that it was begun
    with, somebody has acted in it lately, and the second step is done where there is one."""
    return knows_password(user, session) and second_factor.is_done(user, mark_of(session))


def knows_password(user: User, session: SessionBase) -> bool:
    """Whether all holds but the second step."""
    shown = session.get(HASH_SESSION_KEY, "")
    is_theirs = constant_time_compare(shown, user.get_session_auth_hash())
    return bool(user.is_active and user.is_staff and is_theirs and not _is_idle(session))


def mark_of(session: SessionBase) -> str | None:
    """The app with which the second step was done in this session."""
    mark: Any = session.get(DEVICE_ID_SESSION_KEY)
    return mark if mark is None else str(mark)


def note_action(session: SessionBase) -> None:
    """Begin the eight hours again. Written at most once a minute."""
    now = int(time.time())
    if now - session.get(ACTED_AT, 0) >= NOTED_EVERY:
        session[ACTED_AT] = now


def _is_idle(session: SessionBase) -> bool:
    """A session without the note is from before there was one; its time begins when it is next seen."""
    return bool(time.time() - session.get(ACTED_AT, time.time()) > IDLE_AT_MOST)
