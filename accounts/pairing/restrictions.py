"""WhatsApp restricts an account that stays connected: it may not write to new people, or begin only so many chats.

That is a notice and no status: a restricted link works, and linking it anew would make things worse.
"""

import re
from datetime import datetime

from django.utils import timezone

from accounts.db.transactions import atomically
from accounts.models import Account, AccountNotice, LinkSession
from accounts.pairing.bridge_events import Outcome, lock_session, note_seen

Kind = AccountNotice.Kind
KINDS = frozenset(Kind) - {Kind.FLAPPING}
# WhatsApp's error for a message to somebody new while that is not allowed, where it is written as a code. A bare number
# may be anything: a line of a program, milliseconds, a count.
SEND_REFUSED = 463
_ENDS = r"""(?=[\\"')]|\s*(?:\Z|[:,;}\]-]))"""
_AS_A_CODE = (
    rf"(?:code|error|nack|status)[\s:=#(]{{0,4}}{SEND_REFUSED}",
    # A field of the answer that it is, or begins.
    rf"""(?:code|error|nack|status|details?|message|reason)[\\"']{{0,2}}\s*[:=]\s*[\\"']{{0,3}}{SEND_REFUSED}{_ENDS}""",
    rf"(?<!\w)\({SEND_REFUSED}(?=\))",
    rf"\A\W{{0,3}}{SEND_REFUSED}{_ENDS}",
)
_MEANT = re.compile(rf"(?i)(?:{'|'.join(_AS_A_CODE)})(?!\w|[.:]\d)")


def is_meant_by(words: str, *, status: int | None = None) -> bool:
    """Whether a bridge's answer to a message is WhatsApp's refusal: the account may not write to this person."""
    return status == SEND_REFUSED or _MEANT.search(words) is not None


@atomically
def restricted(session_pk: int, *, kind: AccountNotice.Kind, text: str, until: datetime | None) -> Outcome:
    """WhatsApp restricts the account, until then if that is known. The same told again is counted."""
    if until is not None and until <= timezone.now():
        return lifted(session_pk, kind=kind)
    account, session = lock_session(session_pk)
    if not session.is_open:
        return Outcome.ENDED
    note_seen(session)
    if not session.ever_linked:  # nothing of it can be restricted yet
        return Outcome.NO_CHANGE
    known = account.notices.current().filter(kind=kind, session=session).first()
    is_told_again = known is not None and (known.text, known.until) == (text[:300], until)
    _write(account, session, kind, known=known, text=text[:300], until=until)
    if is_told_again:
        return Outcome.NO_CHANGE
    ends = f" until {until:%F %T} UTC" if until else ""
    account.note(trigger="session_restricted", session=session, reason=f"{kind.value}{ends}: {text}"[:500])
    account.touch()
    return Outcome.APPLIED


@atomically
def lifted(session_pk: int, *, kind: AccountNotice.Kind | None) -> Outcome:
    """A restriction is over; without a kind, all of them."""
    account, session = lock_session(session_pk)
    if not session.is_open:
        return Outcome.ENDED
    note_seen(session)
    over = account.notices.filter(kind__in=KINDS if kind is None else [kind])
    kinds = list(over.current().order_by("kind").values_list("kind", flat=True))
    over.delete()
    if not kinds:
        return Outcome.NO_CHANGE
    account.note(trigger="session_restricted", session=session, reason=f"over: {', '.join(kinds)}")
    account.touch()
    return Outcome.APPLIED


def _write(
    account: Account,
    session: LinkSession,
    kind: AccountNotice.Kind,
    *,
    known: AccountNotice | None,
    text: str,
    until: datetime | None,
) -> None:
    now = timezone.now()
    begun = {"since": known.since, "count": known.count + 1} if known else {"since": now, "count": 1}
    values = {"session": session, "text": text, "until": until, "last_at": now, **begun}
    AccountNotice.objects.update_or_create(account=account, kind=kind, defaults=values)
