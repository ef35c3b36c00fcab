"""Chat messages, their acks, edits and revokes go straight into `Message`.

Each message is stored once, the highest ack and the newest edit win, and what comes before its message waits for it.
"""

import hashlib
import mimetypes
from functools import reduce
from operator import or_
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.db.transactions import atomically
from accounts.models import LinkMove, Message, Workspace
from accounts.pairing.bridge_events import Outcome

# WhatsApp's levels; the bridge's words for them are one step behind (docs/bridge-contract.md, 1.3).
READ, PLAYED = 3, 4
LONGEST_NOTE = 500  # characters; what Message.emptied holds
# The chats that a workspace may leave out, and its column that says whether they are kept.
OPTIONAL: dict[str, str] = {Message.Chat.STATUS: "keeps_statuses", Message.Chat.NEWSLETTER: "keeps_newsletters"}


def comes_from_former_owner(bridge_id: int, session_pk: int) -> bool:
    """Whether the session was moved away from this bridge (accounts/reconcile/relocation.py).

    Messages that it received before its stop was done may wait in its outbox for 24 h (contract, 5.1). The row of the
    relocation is kept for LINKDESK_KEEP_ORDERS_DAYS, and at least as long as the order of that stop.
    """
    return LinkMove.objects.filter(session=session_pk, from_bridge=bridge_id).exists()


def received(session_pk: int, data: dict[str, Any]) -> Outcome:
    """Store a message in either direction. What concerns it may have come before it.

    The text is stored before its file: a full disk must not cost it. The bridge's next try then brings the file.
    """
    message, media = data["message"], data["message"]["media"]
    fields = columns(message)
    if _is_left_out(session_pk, fields["chat_type"]):
        return Outcome.LEFT_OUT
    outcome = _insert_or_fill(session_pk, message["id"], fields, emptied=data["emptied"])
    without_file = Message.objects.filter(session_id=session_pk, message_id=message["id"], media="")
    if media is None or not without_file.exists():
        return outcome
    added = without_file.update(has_media=True, **_store_media(session_pk, media))
    return Outcome.APPLIED if added else outcome


def status_updated(session_pk: int, data: dict[str, Any]) -> Outcome:
    return _acknowledge(session_pk, data, data["ack_level"])


def delivered(session_pk: int, data: dict[str, Any]) -> Outcome:
    return _acknowledge(session_pk, data, READ)


def read(session_pk: int, data: dict[str, Any]) -> Outcome:
    return _acknowledge(session_pk, data, PLAYED)


def _acknowledge(session_pk: int, data: dict[str, Any], level: int | None) -> Outcome:
    """Acks arrive in any order; only a higher one counts, and none without a level."""
    if level is None:
        return _change_or_wait(session_pk, data, where=Q(), changes={})
    is_lower = Q(ack_level__isnull=True) | Q(ack_level__lt=level)
    return _change_or_wait(session_pk, data, where=is_lower, changes={"ack_level": level}, from_me=True)


def edited(session_pk: int, data: dict[str, Any]) -> Outcome:
    """Put the new text in the place of the old one. Bridges tell whole seconds, so that an edit without a time is as
    of this second, and of two edits of one second the last that came counts. The same again changes nothing."""
    at = data["timestamp"] or timezone.now().replace(microsecond=0)
    current = Message.objects.filter(session_id=session_pk, message_id=data["message_id"], edited_at=at)
    is_new = data["body"] not in {None, *current.values_list("body", flat=True)}
    changes = {"body": data["body"], "edited_at": at} if is_new else {}
    is_older = Q(edited_at__isnull=True) | Q(edited_at__lte=at)
    return _change_or_wait(session_pk, data, where=is_older, changes=changes)


def revoked(session_pk: int, data: dict[str, Any]) -> Outcome:
    """Mark the message. Its text stays: it was read here before it was taken back there."""
    changes = {"revoked_at": data["timestamp"] or timezone.now()}
    return _change_or_wait(session_pk, data, where=Q(revoked_at__isnull=True), changes=changes)


def _change_or_wait(
    session_pk: int, data: dict[str, Any], *, where: Q, changes: dict[str, Any], from_me: bool = False
) -> Outcome:
    """Change the message where it is so. One that has not come yet gets a row, in which the change waits for it."""
    if _may_be_left_out(session_pk, data["message_id"], has_text="body" in changes):
        return Outcome.LEFT_OUT
    return _change_or_insert(
        session_pk, data["message_id"], where=where, changes=changes, from_me=from_me, emptied=data["emptied"]
    )


@atomically
def _change_or_insert(
    session_pk: int, message_id: str, *, where: Q, changes: dict[str, Any], from_me: bool, emptied: str
) -> Outcome:
    wanted = Message.objects.filter(where, session_id=session_pk, message_id=message_id)
    done = bool(changes) and (
        wanted.update(**changes)
        or _insert(session_pk, message_id, from_me=from_me, **changes)
        or wanted.update(**changes)  # a concurrent request has just made the row
    )
    _note_emptied(session_pk, message_id, emptied)
    return Outcome.APPLIED if done else Outcome.NO_CHANGE


@atomically
def _insert_or_fill(session_pk: int, message_id: str, fields: dict[str, Any], *, emptied: str) -> Outcome:
    """One whose row exists was sent twice, or only what concerns it was stored so far."""
    waiting = Message.objects.filter(session_id=session_pk, message_id=message_id, delivered=False)
    unedited = {name: value for name, value in fields.items() if name != "body"}
    done = (
        _insert(session_pk, message_id, delivered=True, **fields)
        or waiting.filter(edited_at__isnull=True).update(delivered=True, **fields)
        or waiting.update(delivered=True, **unedited)
    )
    if done:
        _note_emptied(session_pk, message_id, emptied)
    return Outcome.APPLIED if done else Outcome.NO_CHANGE


def _insert(session_pk: int, message_id: str, **columns: Any) -> bool:
    """Make the message's row; False if there is one."""
    try:
        with transaction.atomic():
            Message.objects.create(session_id=session_pk, message_id=message_id, **columns)
    except IntegrityError:
        return False
    return True


def _note_emptied(session_pk: int, message_id: str, names: str) -> None:
    """Add the fields that could not be read to those that the message's row names already."""
    if not names:
        return
    for row in Message.objects.filter(session_id=session_pk, message_id=message_id).only("emptied"):
        noted = dict.fromkeys([*filter(None, row.emptied.split(", ")), *names.split(", ")])
        Message.objects.filter(pk=row.pk).update(emptied=", ".join(noted)[:LONGEST_NOTE])


def _is_left_out(session_pk: int, *chats: str) -> bool:
    """Whether the session's workspace keeps no messages of one of these chats."""
    unkept = [Q(**{OPTIONAL[chat]: False}) for chat in chats if chat in OPTIONAL]
    mine = Workspace.objects.filter(accounts__sessions=session_pk)
    return bool(unkept) and mine.filter(reduce(or_, unkept)).exists()


def _may_be_left_out(session_pk: int, message_id: str, *, has_text: bool) -> bool:
    """Whether what concerns this message is not kept. Where the id does not tell the chat, the text of a message that
    is not here is not kept by a workspace that leaves out any: it may be one of those."""
    chat = Message.chat_of(message_id)
    if chat or not has_text:
        return _is_left_out(session_pk, chat)
    is_here = Message.objects.filter(session_id=session_pk, message_id=message_id, delivered=True).exists()
    return not is_here and _is_left_out(session_pk, *OPTIONAL)


def columns(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "from_me": message["from_me"],
        "chat_type": Message.chat_of(message["from"], message["to"], message["id"], told=message["chat_type"]),
        "sender": message["from"],
        "recipient": message["to"],
        "body": message["body"],
        "type": message["type"],
        "sent_at": message["timestamp"],
        "has_media": message["has_media"],
        "group": message["group"],
    }


def _store_media(session_pk: int, media: dict[str, Any]) -> dict[str, str]:
    """Store the file outside of any transaction: 16 MB must not hold a lock. Named by content, a retry finds it."""
    content: bytes = media["data"]
    ending = mimetypes.guess_extension(media["mimetype"].partition(";")[0].strip()) or ".bin"
    name = f"messages/{session_pk}/{hashlib.sha256(content).hexdigest()[:32]}{ending}"
    # A crash may have left half of the file, or another request may be writing it: then it gets another name.
    if not (default_storage.exists(name) and default_storage.size(name) == len(content)):
        name = default_storage.save(name, ContentFile(content))
    return {"media": name, "media_type": media["mimetype"], "media_name": media["filename"]}
