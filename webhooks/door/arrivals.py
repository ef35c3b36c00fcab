"""The door may take a message or an ack in its ordinary shape, signed with a secret that is known here.

The door only ever says yes, or that a budget is spent. All else goes Django's way and is decided there: lifecycle
events, files, edits, and what is unknown, ended, broken or signed by nobody.
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from api.http import rate_limit
from api.http.errors import ApiError
from api.http.strict_json import parse_told
from webhooks import authentication
from webhooks.authentication import BridgeSignature
from webhooks.door.plain import NotPlain, reader_of
from webhooks.door.request import DoorRequest
from webhooks.events.handlers import MESSAGES
from webhooks.events.messages import PLAYED, READ
from webhooks.events.serializers import EXACT
from webhooks.inbox.store import Delivery
from webhooks.signature import BOOT, EVENT_ID, VERSION_2, sequence_of, short_header, version_of

TEXTS = ("message_received", "message_sent")
ACKS = ("message_status_updated", "message_delivered", "message_read")
LEVELS = {"message_delivered": READ, "message_read": PLAYED}
READERS = {event: reader_of(MESSAGES[event].shape) for event in (*TEXTS, *ACKS)}
LONGEST_SESSION_ID = 191


@dataclass(slots=True, eq=False)
class Arrival:
    """An event at the door. `answer` is None until one is found, and stays so if only Django can give it."""

    event: str
    session_id: str
    bridge_id: int
    fields: dict[str, Any]
    by_version_2: bool
    is_sent_again: bool  # when it is refused: only a bridge with event ids does that
    may_wait: bool = False  # over its budget it is tried again here, so that this is no refusal yet
    is_charged: bool = False
    answer: str | ApiError | None = None

    @property
    def is_ack(self) -> bool:
        return self.event in ACKS

    @property
    def level(self) -> int | None:
        """The ack's, None if none could be read."""
        level: int | None = LEVELS.get(self.event) or self.fields["ack_level"]
        return level

    @property
    def message_id(self) -> str:
        found: str = self.fields["message_id"] if self.is_ack else self.fields["message"]["id"]
        return found


def read(request: DoorRequest) -> Arrival | None:
    """Return the event, or None if it is one for Django. No query is made."""
    try:
        return _read(request)
    except (ApiError, NotPlain, KeyError):
        return None


def _read(request: DoorRequest) -> Arrival | None:
    if not (_is_our_host(request) and rate_limit.is_welcome(request, kind=BridgeSignature.__name__)):
        return None
    bridge_id = authentication.recognise(request)
    if bridge_id is None:
        return None
    event_id, by_version_2 = _checked_id(request), version_of(request) == VERSION_2
    if by_version_2 and not event_id:
        return None
    told = parse_told(request.body, exact=EXACT)
    return _arrival(told, bridge_id, by_version_2=by_version_2, is_sent_again=bool(event_id))


def _arrival(told: dict[str, Any], bridge_id: int, *, by_version_2: bool, is_sent_again: bool) -> Arrival | None:
    event, data = told["event"], told["data"]
    if type(event) is not str or type(data) is not dict:
        return None
    fields, session_id = READERS[event](data), data["session_id"]
    if type(session_id) is not str or len(session_id) > LONGEST_SESSION_ID:
        return None
    return Arrival(event, session_id, bridge_id, fields, by_version_2, is_sent_again)


def of_delivery(delivery: Delivery, *, by_version_2: bool) -> Arrival | None:
    """Return an event that Django has let in as one of the door's; None if it is none."""
    try:
        fields = READERS[delivery.event](delivery.data)
    except (NotPlain, KeyError):
        return None
    return Arrival(delivery.event, delivery.session_id, delivery.bridge_id, fields, by_version_2, is_sent_again=True)


def _is_our_host(request: DoorRequest) -> bool:
    host, _ = split_domain_port(request.headers.get("Host", ""))
    return validate_host(host, settings.ALLOWED_HOSTS)


def _checked_id(request: DoorRequest) -> str:
    """Return the event's id; raises ApiError where it or a header beside it is none that a bridge sends."""
    short_header(request, BOOT)
    sequence_of(request)
    return short_header(request, EVENT_ID)
