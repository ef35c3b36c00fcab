"""Notes each look at a code in the audit: a person who sees the code of an attempt can link their own phone by it."""

from datetime import timedelta

from django.utils import timezone

from accounts.access import audit
from accounts.db.transactions import atomically
from accounts.models import Account, AuditEntry, User

SAW_CODE = "account.saw_code"
SAME_LOOK = timedelta(minutes=10)  # a page or a program asks every few seconds


def saw_code(account: Account, *, session_id: str, actor: User | None, who: str) -> None:
    """Note that the person or program has got the code of this attempt; once in ten minutes for each attempt."""
    if not _is_noted(account, session_id=session_id, who=who):
        _note(account, session_id=session_id, actor=actor, who=who)


@atomically
def _note(account: Account, *, session_id: str, actor: User | None, who: str) -> None:
    """Two requests of one person come at once: the second one waits for the lock and finds the entry of the first."""
    Account.objects.lock(account.pk)
    if not _is_noted(account, session_id=session_id, who=who):
        audit.record(SAW_CODE, actor=actor, who=who, of=account, after={"session": session_id})


def _is_noted(account: Account, *, session_id: str, who: str) -> bool:
    looks = AuditEntry.objects.filter(
        model=account._meta.label_lower,
        object_id=str(account.pk),
        action=SAW_CODE,
        who=who,
        at__gt=timezone.now() - SAME_LOOK,
    )
    return any(look.after.get("session") == session_id for look in looks)
