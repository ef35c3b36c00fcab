"""Chat messages and their acks go straight into `Message`: each is stored once, and the highest ack wins."""

import base64
import binascii
import hashlib
import mimetypes
from datetime import UTC, datetime
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts.db.transactions import atomically
from accounts.models import LinkMove, Message
from accounts.pairing.bridge_events import Outcome
from api.http.errors import ApiError

# WhatsApp's levels; the bridge's words for them are one step behind (docs/bridge-contract.md, 1.3).
READ, PLAYED = 3, 4


def comes_from_former_owner(bridge_id: int, session_pk: int) -> bool:
    """Whether the session was moved away from this bridge (accounts/reconcile/relocation.py).

    Messages that it received before its stop was done may wait in its outbox for 24 h (contract, 5.1). The row of the
    relocation is kept for LINKDESK_KEEP_ORDERS_DAYS, and at least as long as the order of that stop.
    """
    return LinkMove.objects.filter(session=session_pk, from_bridge=bridge_id).exists()


def received(session_pk: int, data: dict[str, Any]) -> Outcome:
    """Store a message in either direction. Its acks may have come before it."""
    message = data["message"]
    fields = _columns(message) | _store_media(session_pk, message["media"])
    return _insert_or_fill(session_pk, message["id"], fields)


def status_updated(session_pk: int, data: dict[str, Any]) -> Outcome:
    return acknowledge(session_pk, data["message_id"], data["ack_level"])


def delivered(session_pk: int, data: dict[str, Any]) -> Outcome:
    return acknowledge(session_pk, data["message_id"], READ)


def read(session_pk: int, data: dict[str, Any]) -> Outcome:
    return acknowledge(session_pk, data["message_id"], PLAYED)


@atomically
def acknowledge(session_pk: int, message_id: str, level: int) -> Outcome:
    """Acks arrive in any order and before their message; only a higher one counts."""
    known = Message.objects.filter(session_id=session_pk, message_id=message_id)
    lower = known.filter(Q(ack_level__isnull=True) | Q(ack_level__lt=level))
    if lower.update(ack_level=level):
        return Outcome.APPLIED
    try:
        with transaction.atomic():
            Message.objects.create(session_id=session_pk, message_id=message_id, ack_level=level, from_me=True)
    except IntegrityError:  # the row exists with this ack or a higher one, or a concurrent request made it
        return Outcome.APPLIED if lower.update(ack_level=level) else Outcome.NO_CHANGE
    return Outcome.APPLIED


@atomically
def _insert_or_fill(session_pk: int, message_id: str, fields: dict[str, Any]) -> Outcome:
    try:
        with transaction.atomic():
            Message.objects.create(session_id=session_pk, message_id=message_id, delivered=True, **fields)
    except IntegrityError:  # it was sent twice, or only its ack was stored so far
        waiting = Message.objects.filter(session_id=session_pk, message_id=message_id, delivered=False)
        return Outcome.APPLIED if waiting.update(delivered=True, **fields) else Outcome.NO_CHANGE
    return Outcome.APPLIED


def _columns(message: dict[str, Any]) -> dict[str, Any]:
    seconds = message["timestamp"]
    return {
        "from_me": message["from_me"],
        "chat_type": message["chat_type"],
        "sender": message["from"],
        "recipient": message["to"],
        "body": message["body"],
        "type": message["type"],
        "sent_at": datetime.fromtimestamp(seconds, UTC) if seconds is not None else None,
        "has_media": message["has_media"],
        "group": message["group"],
    }


def _store_media(session_pk: int, media: dict[str, Any] | None) -> dict[str, Any]:
    """Store the file before the transaction: 16 MB must not hold a lock. It is named by content: a retry finds it."""
    if media is None:
        return {}
    try:
        content = base64.b64decode(media["data"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "INVALID_MEDIA", "message.media.data is not valid base64.") from error
    ending = mimetypes.guess_extension(media["mimetype"].partition(";")[0].strip()) or ".bin"
    name = f"messages/{session_pk}/{hashlib.sha256(content).hexdigest()[:32]}{ending}"
    # A crash may have left half of the file, or another request may be writing it: then it gets another name.
    if not (default_storage.exists(name) and default_storage.size(name) == len(content)):
        name = default_storage.save(name, ContentFile(content))
    return {"media": name, "media_type": media["mimetype"], "media_name": media["filename"]}
