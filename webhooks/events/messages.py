"""Chat messages, their acks, edits and revokes go straight into `Message`.

Each message is stored once, the highest ack and the newest edit win, and what comes before its message waits for it.
"""

import hashlib
import mimetypes
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
    fields = _columns(message) | {"emptied": data["emptied"]}
    if _is_left_out(session_pk, fields["chat_type"]):
        return Outcome.LEFT_OUT
    outcome = _insert_or_fill(session_pk, message["id"], fields)
    without_file = Message.objects.filter(session_id=session_pk, message_id=message["id"], media="")
    if media is None or not without_file.exists():
        return outcome
    added = without_file.update(has_media=True, **_store_media(session_pk, media))
    return Outcome.APPLIED if added else outcome


def status_updated(session_pk: int, data: dict[str, Any]) -> Outcome:
    level = data["ack_level"]
    return Outcome.NO_CHANGE if level is None else acknowledge(session_pk, data["message_id"], level)


def delivered(session_pk: int, data: dict[str, Any]) -> Outcome:
    return acknowledge(session_pk, data["message_id"], READ)


def read(session_pk: int, data: dict[str, Any]) -> Outcome:
    return acknowledge(session_pk, data["message_id"], PLAYED)


def acknowledge(session_pk: int, message_id: str, level: int) -> Outcome:
    """Acks arrive in any order; only a higher one counts."""
    is_lower = Q(ack_level__isnull=True) | Q(ack_level__lt=level)
    return _change_or_wait(session_pk, message_id, where=is_lower, changes={"ack_level": level}, from_me=True)


def edited(session_pk: int, data: dict[str, Any]) -> Outcome:
    """Put the new text in the place of the old one. Of two edits of the same moment the first that came counts, so
    that one which is sent again does not undo the other."""
    if data["body"] is None:
        return Outcome.NO_CHANGE
    at = data["timestamp"] or timezone.now()
    is_older = Q(edited_at__isnull=True) | Q(edited_at__lt=at)
    changes = {"body": data["body"], "edited_at": at}
    return _change_or_wait(session_pk, data["message_id"], where=is_older, changes=changes)


def revoked(session_pk: int, data: dict[str, Any]) -> Outcome:
    """Mark the message. Its text stays: it was read here before it was taken back there."""
    changes = {"revoked_at": data["timestamp"] or timezone.now()}
    return _change_or_wait(session_pk, data["message_id"], where=Q(revoked_at__isnull=True), changes=changes)


def _change_or_wait(
    session_pk: int, message_id: str, *, where: Q, changes: dict[str, Any], from_me: bool = False
) -> Outcome:
    """Change the message where it is so. One that has not come yet gets a row, in which the change waits for it."""
    if _is_left_out(session_pk, Message.chat_of(message_id)):
        return Outcome.LEFT_OUT
    return _change_or_insert(session_pk, message_id, where=where, changes=changes, from_me=from_me)


@atomically
def _change_or_insert(session_pk: int, message_id: str, *, where: Q, changes: dict[str, Any], from_me: bool) -> Outcome:
    wanted = Message.objects.filter(where, session_id=session_pk, message_id=message_id)
    if wanted.update(**changes):
        return Outcome.APPLIED
    try:
        with transaction.atomic():
            Message.objects.create(session_id=session_pk, message_id=message_id, from_me=from_me, **changes)
    except IntegrityError:  # the row exists with this change or a later one, or a concurrent request made it
        return Outcome.APPLIED if wanted.update(**changes) else Outcome.NO_CHANGE
    return Outcome.APPLIED


@atomically
def _insert_or_fill(session_pk: int, message_id: str, fields: dict[str, Any]) -> Outcome:
    try:
        with transaction.atomic():
            Message.objects.create(session_id=session_pk, message_id=message_id, delivered=True, **fields)
    except IntegrityError:  # it was sent twice, or only what concerns it was stored so far
        waiting = Message.objects.filter(session_id=session_pk, message_id=message_id, delivered=False)
        unedited = {name: value for name, value in fields.items() if name != "body"}
        filled = waiting.filter(edited_at__isnull=True).update(delivered=True, **fields)
        return Outcome.APPLIED if filled or waiting.update(delivered=True, **unedited) else Outcome.NO_CHANGE
    return Outcome.APPLIED


def _is_left_out(session_pk: int, chat: str) -> bool:
    keeps = OPTIONAL.get(chat)
    return keeps is not None and Workspace.objects.filter(accounts__sessions=session_pk, **{keeps: False}).exists()


def _columns(message: dict[str, Any]) -> dict[str, Any]:
    told: str = message["chat_type"]
    known = told if told in Message.Chat.values else ""
    return {
        "from_me": message["from_me"],
        "chat_type": Message.chat_of(message["from"], message["to"], message["id"]) or known,
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
