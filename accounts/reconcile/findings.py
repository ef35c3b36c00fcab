"""Notes a finding about a link in the history, and tells whether an event has overtaken the finding."""

from datetime import datetime, timedelta

from django.utils import timezone

from accounts.models import Account, LinkSession


def is_overtaken(account: Account, session: LinkSession, asked_at: datetime) -> bool:
    """Whether the session was heard, or its account's status changed, after the bridge was asked for its list.

    Then that is newer, and the next list will tell. All times are by our own clock. The caller holds the session's
    lock.
    """
    seen_at = session.last_seen_at
    return account.status_changed_at > asked_at or (seen_at is not None and seen_at > asked_at)


def note_once_a_day(account: Account, session: LinkSession, *, trigger: str, reason: str) -> None:
    """Write a finding about a link into the history when it is new, and once a day while it lasts."""
    since = max(account.status_changed_at, timezone.now() - timedelta(days=1))
    if account.transitions.filter(session=session, reason=reason, created_at__gt=since).exists():
        return
    account.note(trigger=trigger, session=session, reason=reason)
    account.touch()
