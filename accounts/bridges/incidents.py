"""Incidents: what is wrong with a bridge, in one row however many sessions it touches; opened, counted, closed.

Who else could be there: heartbeats, polls, webhooks and jobs that see the same thing at the same moment.
"""

import logging
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.db.transactions import atomically
from accounts.models import Incident

log = logging.getLogger(__name__)

Kind = Incident.Kind


@atomically
def report(bridge_id: int, kind: Incident.Kind, *, summary: str) -> bool:
    """Open an incident, or count it once more if it is open. Gives whether it is new.

    `summary` is for staff: no phone numbers. Do not call it in a transaction that takes locks later: the row has a
    parent, which the insert locks.
    """
    if _again(bridge_id, kind, summary):
        return False
    try:
        with transaction.atomic():
            Incident.objects.create(
                bridge_id=bridge_id, kind=kind, summary=summary[:300], open_key=_key(bridge_id, kind)
            )
    except IntegrityError:  # a twin was first
        _again(bridge_id, kind, summary)
        return False
    log.warning("bridge %s: incident %s", bridge_id, kind)
    return True


@atomically
def close(bridge_id: int, kind: Incident.Kind) -> bool:
    """Close the incident, as it is over. False: none was open."""
    open_one = Incident.objects.filter(open_key=_key(bridge_id, kind))
    return bool(open_one.update(closed_at=timezone.now(), open_key=None))


def open_of(bridge_id: int) -> dict[str, datetime]:
    """The kinds that are open, with when each was last seen."""
    open_ones = Incident.objects.filter(bridge=bridge_id, closed_at__isnull=True)
    return dict(open_ones.values_list("kind", "last_at"))


def _again(bridge_id: int, kind: Incident.Kind, summary: str) -> bool:
    open_one = Incident.objects.filter(open_key=_key(bridge_id, kind))
    return bool(open_one.update(count=F("count") + 1, last_at=timezone.now(), summary=summary[:300]))


def _key(bridge_id: int, kind: Incident.Kind) -> str:
    return f"{bridge_id}:{kind}"
