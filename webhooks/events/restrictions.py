"""`session_restricted`: WhatsApp restricts an account that stays connected (docs/bridge-api.md, "Restrictions").

Only the session decides. All else is read as far as it can be: a notice with less in it is better than none.
"""

from typing import Any

from accounts.models import AccountNotice
from accounts.pairing import restrictions
from accounts.pairing.bridge_events import Outcome
from webhooks.events.fields import EventData, Flag, Moment, OptionalText, WholeNumber

Kind = AccountNotice.Kind
SEND_REFUSED = "463"  # WhatsApp's error for a message to somebody new while that is not allowed
EARLIEST = 10**9  # in 2001; a smaller number is no time
LONGEST_TEXT = 300
MANY = 10**9  # chats


class Restricted(EventData):
    kind = OptionalText(60)
    code = OptionalText(191)
    active = Flag(default=True)
    until = Moment(earliest=EARLIEST)
    message = OptionalText(LONGEST_TEXT)
    used = WholeNumber(0, MANY)
    total = WholeNumber(0, MANY)


def apply(session_pk: int, data: dict[str, Any]) -> Outcome:
    kind = kind_of(data["kind"], code=data["code"])
    if not data["active"]:
        return restrictions.lifted(session_pk, kind=kind)
    return restrictions.restricted(session_pk, kind=kind or Kind.RESTRICTED, text=_words(data), until=data["until"])


def kind_of(told: str, *, code: str) -> AccountNotice.Kind | None:
    """The kind that is meant; None: it is not said. A kind that we do not know is a restriction all the same."""
    if SEND_REFUSED in {_number_in(code), _number_in(told)}:
        return Kind.SEND_REFUSED
    word = told.strip().casefold()
    if not word:
        return None
    return Kind(word) if word in restrictions.KINDS else Kind.RESTRICTED


def _number_in(told: str) -> str:
    return told.strip().partition(":")[0]


def _words(data: dict[str, Any]) -> str:
    """The bridge's own words and, of a cap, how much of it is used."""
    words = [data["message"].strip()]
    if data["used"] is not None and data["total"] is not None:
        words.append(f"{data['used']} of {data['total']} used")
    return ". ".join(filter(None, words))[:LONGEST_TEXT]
