"""The texts of chat messages: where they are kept, how they are masked, and what reading one takes.

Who wrote to whom and when is seen with the row. What was said (a text, a caption, a file's name) is read on purpose:
with a permission of its own, and noted in the audit.
"""

import re
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.utils.translation import ngettext

from accounts.models import User

PERMISSION = "accounts.read_bodies"
# The columns that hold texts, by model. Those of JSON are shown with the texts in them masked.
KEPT: dict[str, tuple[str, ...]] = {
    "accounts.message": ("body", "media_name"),
    "webhooks.webhookevent": ("payload",),
    "webhooks.storedreport": ("payload",),
}

# A key of JSON that contains one of these words, in any case, holds a text, or an object with texts in it. Where it
# stands does not matter: bridges and the libraries under them name their fields as they like.
_SAYING = re.compile(
    "body|text|caption|message|msg|content|quote|conversation|comment|snippet|preview|subject|file_?name|media_?name"
    "|vcard|poll|option|reaction|title|desc|about|topic|footer|header|answer|thumb|base64|url|link|location|address"
    "|contacts|^data$|^_?raw",
    re.IGNORECASE,
)
# Keys that end with one of these words say who, when or which, and never what was written; so do some whole keys.
_PLAIN_ENDS = frozenset({"id", "ids", "jid", "at", "count", "type", "timestamp", "ack", "level", "phone", "mimetype"})
_PLAIN = frozenset(
    {"from", "to", "from_me", "author", "participant", "participants", "recipient", "sender", "sender_name"}
    | {"group_name", "messageid", "chatid", "messagetype", "time", "status", "event", "_serialized"}
)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,39}")
_JSON = re.compile(r"\s*[\[{]")


def masked(value: Any, *, says: bool = False) -> Any:
    """The same JSON with a sign in the place of each text. `says`: the value stands under a key that holds texts, so
    that all in it which is not known to be harmless is one."""
    if isinstance(value, dict):
        return {
            _name(key, says=says): masked(part, says=_holds_text(key, part, says=says)) for key, part in value.items()
        }
    if isinstance(value, list):
        return [masked(part, says=says) for part in value]
    if isinstance(value, bool) or value in (None, ""):
        return value
    return sign(str(value)) if says or _is_json(value) else value


def sign(text: str) -> str:
    """Return the sign that stands in place of a text. It gives the text's length, so that a cut one shows."""
    if not text:
        return ""
    return ngettext("•••• (%(count)d character)", "•••• (%(count)d characters)", len(text)) % {"count": len(text)}


def are_in(row: Model) -> bool:
    """Whether the row holds a text."""
    return any(masked(value, says=isinstance(value, str)) != value for value in _texts(row).values())


def may_read(user: User) -> bool:
    return user.has_perm(PERMISSION)


def read(row: Model, *, actor: User) -> dict[str, Any]:
    """The columns of the row that hold texts, unmasked. The dialog that shows them notes the reading, as it notes all
    that staff do. Raises PermissionDenied."""
    if not may_read(actor):
        raise PermissionDenied
    return _texts(row)


def _texts(row: Model) -> dict[str, Any]:
    return {name: getattr(row, name) for name in KEPT.get(row._meta.label_lower, ())}


def _holds_text(key: str, value: Any, *, says: bool) -> bool:
    *_others, last = ["", *_WORDS.findall(key)]
    is_plain = not isinstance(value, dict) and (key in _PLAIN or last.casefold() in _PLAIN_ENDS)
    return not is_plain and bool(says or _SAYING.search(key))


def _name(key: str, *, says: bool) -> str:
    """A key may be a text itself, such as an answer of a poll."""
    return sign(key) if says and not _NAME.fullmatch(key) else key


def _is_json(value: Any) -> bool:
    """A text that is JSON once more is not looked into."""
    return isinstance(value, str) and bool(_JSON.match(value))
