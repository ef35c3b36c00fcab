"""POST webhooks/batch: many events under one signature, with an answer for each."""

import hashlib
import logging
import time
from typing import Any

from django.db import DatabaseError
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.logs.format import about
from api.http.errors import ApiError, as_api_error, envelope
from api.serializers import Shape, checked
from webhooks.authentication import BridgeSignature, bridge_of, busy
from webhooks.bridge_api.views.bridge_view import BridgeView
from webhooks.bridge_api.views.webjs import PATIENCE, keep, read_event
from webhooks.door import arrivals, batch
from webhooks.door.arrivals import Arrival
from webhooks.events.serializers import EXACT, Envelope
from webhooks.inbox.store import Delivery
from webhooks.signature import BOOT, LONGEST_ID, VERSION_2, replay_key, short_header, version_of

log = logging.getLogger(__name__)

MOST_EVENTS = 500
BROKEN = {"error": envelope("INTERNAL", "Something is broken here. It has been logged.")["error"]}
Told = dict[str, Any]


class EventOfBatch(Envelope):
    """An event as it comes alone, and two values that stand in its headers then."""

    id = serializers.RegexField(r"\A[ -~]*\Z", max_length=LONGEST_ID, required=False, default="")
    sequence = serializers.IntegerField(min_value=0, max_value=10**18 - 1, required=False, default=None)


class Batch(Shape):
    events = serializers.ListField(min_length=1, max_length=MOST_EVENTS)


class WebhookBatch(BridgeView):
    authentication_classes = [BridgeSignature]
    exact = frozenset(("events", *path) for path in EXACT) | {("events", "id")}

    def post(self, request: Request) -> Response:
        results = _Results(request)
        for number, told in enumerate(self.fields(request, Batch)["events"]):
            results.add(number, told)
        results.store_gathered()
        return Response({"success": True, "results": [results.found[number] for number in sorted(results.found)]})


class _Results:
    """Collects the answer to each event, by its place.

    Messages that follow each other are stored together; whatever else comes between them is applied in its turn.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.bridge_id, self.by_version_2 = bridge_of(request), version_of(request) == VERSION_2
        self.key, self.boot = replay_key(request, version_of(request)), short_header(request, BOOT)
        self.until = time.monotonic() + PATIENCE
        self.found: dict[int, Told] = {}
        self._gathered: list[tuple[int, Delivery, Arrival]] = []

    def add(self, number: int, told: Any) -> None:
        try:
            delivery = self._delivery(number, checked(EventOfBatch, told))
        except (ApiError, ValidationError) as error:
            self.found[number] = _refused(error)
            return
        arrival = arrivals.of_delivery(delivery, by_version_2=self.by_version_2)
        if arrival is not None:
            self._gathered.append((number, delivery, arrival))
            return
        self.store_gathered()
        self._keep(number, delivery, charge=True)

    def store_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        try:
            batch.apply([arrival for *_, arrival in gathered])
        except DatabaseError as error:
            log.error("a batch of %s events: %s", len(gathered), type(error).__name__)
        for number, delivery, arrival in gathered:
            if arrival.answer is None:
                self._keep(number, delivery, charge=not arrival.is_charged)
            elif isinstance(arrival.answer, ApiError):
                self.found[number] = _refused(arrival.answer)
            else:
                self.found[number] = {"outcome": arrival.answer}

    def _keep(self, number: int, delivery: Delivery, *, charge: bool) -> None:
        """As an event that comes alone; but those for which there is no time are to be sent again."""
        try:
            if time.monotonic() > self.until:
                raise busy(self.request)
            with about(session_id=delivery.session_id):
                self.found[number] = {"outcome": keep(self.request, delivery, charge=charge)}
        except (ApiError, ValidationError) as error:
            self.found[number] = _refused(error)
        except DatabaseError as error:  # alone it would be a 500; it must not cost the others
            log.error("%s not kept: %s", delivery.event, type(error).__name__)
            self.found[number] = {"status": 500} | BROKEN

    def _delivery(self, number: int, told: Told) -> Delivery:
        if self.by_version_2 and not told["id"]:
            raise ApiError(400, "INVALID_FIELD", "By version 2 each event needs an id.")
        return read_event(
            told,
            bridge_id=self.bridge_id,
            replay_key=hashlib.sha256(f"{self.key}:{number}".encode()).hexdigest(),
            event_id=told["id"] or None,
            boot=self.boot,
            sequence=told["sequence"],
        )


def _refused(error: Exception) -> Told:
    known = as_api_error(error)
    assert known is not None
    later = {} if known.retry_after is None else {"retry_after": known.retry_after}
    return {"status": known.status_code, "error": {"code": known.code, "message": known.message} | later}
