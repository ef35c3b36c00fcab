"""Requests that change no account: reports of bridges are kept, unsigned requests are only counted."""

import hashlib
import logging
from typing import Any

from django.db import DatabaseError
from django.db.models import F
from django.utils import timezone

from accounts.bridges import incidents
from accounts.db.counters import count
from accounts.db.transactions import atomically
from accounts.models import LinkSession
from accounts.orders import outbox
from webhooks.models import StoredReport, UnsignedTraffic

log = logging.getLogger(__name__)

MAX_SOURCES = 200  # rows: a stranger with many addresses must not fill the database
ELSEWHERE = "elsewhere"


@atomically
def keep(bridge_id: int, kind: StoredReport.Kind, *, raw: bytes, payload: dict[str, Any]) -> bool:
    """Store a report once. A bridge repeats a request that got no answer; a repetition is only counted (False)."""
    digest = hashlib.sha256(raw).hexdigest()
    kept, is_new = StoredReport.objects.defer("payload").get_or_create(
        bridge_id=bridge_id, kind=kind, digest=digest, defaults={"payload": payload}
    )
    if not is_new:
        StoredReport.objects.filter(pk=kept.pk).update(count=F("count") + 1, last_at=timezone.now())
    return is_new


def flag_rival(bridge_id: int, session: LinkSession) -> None:
    """Report a bridge that speaks for another one's session, unless it was told to stop it (a relocation)."""
    if not outbox.being_stopped(bridge_id, [session.pk]):
        summary = f"It sends events of {session.session_id}, a session of another bridge."
        incidents.report(bridge_id, incidents.Kind.CONTESTED, summary=summary)


def count_stranger(address: str) -> None:
    """Count a request from this address. A failure is only logged: the bridge holds its message until the answer."""
    try:
        count(UnsignedTraffic, source=_source(address))
    except DatabaseError as error:
        log.warning("an unsigned request was not counted: %s", type(error).__name__)


def _source(address: str) -> str:
    """Return the address, or ELSEWHERE at the limit, which concurrent requests may exceed by their own number only."""
    known = UnsignedTraffic.objects.filter(source=address).exists()
    is_new = not known and len(address) <= 45 and UnsignedTraffic.objects.count() < MAX_SOURCES
    return address if known or is_new else ELSEWHERE
