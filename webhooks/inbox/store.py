"""T1: an event is kept, once, whatever becomes of it later."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.db import locks
from accounts.db.transactions import atomically
from webhooks.events.handlers import SECRETS
from webhooks.models import WebhookEvent

REQUEST_LEASE = 20  # seconds; a request that works on an event for longer is dead: the bridge waits 10
MAX_PAYLOAD = 16 * 1024  # bytes of JSON; the longest lifecycle event is under 1 kB without its QR code


@dataclass(frozen=True)
class Delivery:
    """A verified event; `data` is as it came."""

    bridge_id: int
    event: str
    session_id: str
    data: dict[str, Any]
    replay_key: str
    event_id: str | None = None
    boot: str = ""
    sequence: int | None = None


def store(delivery: Delivery, session_pk: int, *, fields: dict[str, Any]) -> int | None:
    """Run T1. Returns None when the event is stored already, as far as its request tells."""
    try:
        return _insert(delivery, session_pk, fields=fields)
    except IntegrityError:
        twin = twins_of(delivery).first()
        if twin is None:
            raise  # another constraint: the event is not kept
    return _insert_if_later(delivery, session_pk, fields=fields, twin_pk=twin.pk) if delivery.event_id else None


def twins_of(delivery: Delivery) -> QuerySet[WebhookEvent]:
    same = Q(replay_key=delivery.replay_key)
    if delivery.event_id:
        same |= Q(event_id=delivery.event_id)
    return WebhookEvent.objects.filter(same, bridge_id=delivery.bridge_id)


def is_known_by_id(delivery: Delivery) -> bool:
    return WebhookEvent.objects.filter(bridge_id=delivery.bridge_id, event_id=delivery.event_id or "").exists()


@atomically
def _insert_if_later(delivery: Delivery, session_pk: int, *, fields: dict[str, Any], twin_pk: int) -> int | None:
    """Keep an event whose request equals another's but for its headers, which version 1 does not cover.

    It counts as another event only where the same run of the bridge numbers it above all that is stored of the
    session. The lock on the first of the equals lets one of them in at a time.
    """
    twin = locks.row(WebhookEvent, pk=twin_pk)
    if is_known_by_id(delivery) or not _is_later(delivery, session_pk, twin):
        return None
    its_own_key = hashlib.sha256(f"{delivery.replay_key}:{delivery.event_id}".encode()).hexdigest()
    return _insert(replace(delivery, replay_key=its_own_key), session_pk, fields=fields)


def _is_later(delivery: Delivery, session_pk: int, twin: WebhookEvent) -> bool:
    if not delivery.boot or delivery.sequence is None or delivery.boot != twin.boot:
        return False
    stored = WebhookEvent.objects.filter(session=session_pk, bridge_id=delivery.bridge_id, boot=delivery.boot)
    return not stored.filter(sequence__gte=delivery.sequence).exists()


@atomically
def _insert(delivery: Delivery, session_pk: int, *, fields: dict[str, Any]) -> int:
    with transaction.atomic():
        event = WebhookEvent.objects.create(
            bridge_id=delivery.bridge_id,
            session_id=session_pk,
            event=delivery.event,
            payload=_without_secrets(delivery, fields),
            emptied=fields["emptied"],
            event_id=delivery.event_id,
            replay_key=delivery.replay_key,
            boot=delivery.boot,
            sequence=delivery.sequence,
            due_at=timezone.now() + timedelta(seconds=REQUEST_LEASE),
        )
    return event.pk


def _without_secrets(delivery: Delivery, fields: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in delivery.data.items() if key not in SECRETS}
    return kept if len(str(kept)) <= MAX_PAYLOAD else _as_it_was_read(fields)


def _as_it_was_read(fields: dict[str, Any]) -> dict[str, Any]:
    """What we understand of an event that is longer than any bridge sends, as data that can be read once more."""
    kept = {key: value for key, value in fields.items() if key not in SECRETS | {"emptied"}}
    data: dict[str, Any] = json.loads(json.dumps(kept, cls=DjangoJSONEncoder))
    return data
