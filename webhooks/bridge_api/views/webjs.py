"""POST /api/whatsapp/webhooks/webjs: every event of every bridge."""

import logging
import random
import time
from typing import Any

from django.db import OperationalError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.db.transactions import wait_at_most
from accounts.logs.format import about
from api.http.errors import ApiError
from api.http.strict_json import parse_told
from api.serializers import checked
from webhooks.authentication import BridgeSignature, bridge_of, busy
from webhooks.bridge_api.views.bridge_view import BridgeView
from webhooks.door.app import CHARGED
from webhooks.events.serializers import EXACT, Addressed, Envelope
from webhooks.inbox import receive
from webhooks.inbox.store import Delivery
from webhooks.signature import BOOT, EVENT_ID, VERSION_2, replay_key, sequence_of, short_header, version_of

log = logging.getLogger(__name__)

PATIENCE = 8  # seconds for a database in trouble; the bridge waits 10


class WebjsWebhook(BridgeView):
    authentication_classes = [BridgeSignature]

    def post(self, request: Request) -> Response:
        delivery = _delivery(request)
        with about(session_id=delivery.session_id):
            is_charged = getattr(request._request, "scope", {}).get(CHARGED, False)
            return Response({"success": True, "outcome": keep(request, delivery, charge=not is_charged)})


def keep(request: Request, delivery: Delivery, *, charge: bool) -> str:
    """Say what became of the event in one word. Raises ApiError, `busy` where it is not kept, and ValidationError."""
    try:
        return _patiently(delivery, charge=charge)
    except (OperationalError, OSError) as error:  # OSError: the disk is full
        log.error("%s not kept: %s", delivery.event, type(error).__name__)
        raise busy(request) from error


def _delivery(request: Request) -> Delivery:
    """Parse the event from the verified raw bytes; DRF's own parser would read a chunked body as empty."""
    envelope = checked(Envelope, parse_told(request.body, exact=EXACT))
    version = version_of(request)
    return read_event(
        envelope,
        bridge_id=bridge_of(request),
        replay_key=replay_key(request, version),
        event_id=_event_id(request, version) or None,
        boot=short_header(request, BOOT),
        sequence=sequence_of(request),
    )


def read_event(
    envelope: dict[str, Any], *, bridge_id: int, replay_key: str, event_id: str | None, boot: str, sequence: int | None
) -> Delivery:
    """Raises ValidationError where no session is named."""
    data = envelope["data"]
    return Delivery(
        bridge_id=bridge_id,
        event=envelope["event"],
        session_id=checked(Addressed, data)["session_id"],
        data=data,
        replay_key=replay_key,
        event_id=event_id,
        boot=boot,
        sequence=sequence,
    )


def _event_id(request: Request, version: str) -> str:
    """In version 2 the id is the event's identity, so there must be one."""
    event_id = short_header(request, EVENT_ID)
    if version == VERSION_2 and not event_id:
        raise ApiError(400, "INVALID_HEADER", f"With {VERSION_2} each event needs an {EVENT_ID}.")
    return event_id


def _patiently(delivery: Delivery, *, charge: bool) -> str:
    """Wait out a short outage of the database, because most bridges lose an event that gets a 5xx."""
    give_up = time.monotonic() + PATIENCE
    while True:
        began = time.monotonic()
        try:
            wait_at_most(PATIENCE - 1)
            return receive.receive(delivery, charge=charge)
        except OperationalError:
            if 2 * time.monotonic() - began > give_up:  # another try would take as long
                raise
            charge = False
            time.sleep(random.uniform(0.2, 0.6))  # jitter
