"""Several processes behind one address, as PM2's cluster mode makes them: each connection goes to the next process, and
each process knows only its own sessions.

What concerns all of them is asked or told so often in a row that each has had its turn.
"""

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta

from django.utils import timezone

from accounts.bridges import client, incidents
from accounts.bridges.client import BridgeError, ListedAs, Running
from accounts.bridges.presence import UP_WITHIN
from accounts.models import Bridge, Incident, LinkSession

IN_A_ROW = 16  # connections; so many processes all have their turn
NOT_FOUND = 404
WITHIN = 5.0  # seconds for a row: a slow bridge must not keep a worker
LIVELIEST = (ListedAs.CONNECTED, ListedAs.AUTHENTICATED, ListedAs.QR_SCANNING)


def are_known(bridge_id: int) -> bool:
    """Whether the bridge is known to run as several processes."""
    return incidents.Kind.ALTERNATING in incidents.open_of(bridge_id)


def share_an_address(bridge_id: int) -> bool:
    """Whether several processes are known that send no heartbeats: each restores the links of all when it starts."""
    lately = timezone.now() - timedelta(seconds=UP_WITHIN)
    known = Incident.objects.filter(bridge=bridge_id, kind=incidents.Kind.ALTERNATING, closed_at__isnull=True)
    return known.exclude(bridge__last_heartbeat_at__gt=lately).exists()


def in_a_row(*, within: float = WITHIN) -> Iterator[int]:
    """Count the connections of a row, and end early when it takes too long."""
    give_up = time.monotonic() + within
    for number in range(IN_A_ROW):
        if number and time.monotonic() > give_up:
            return
        yield number


def merged(lists: Iterable[dict[str, Running]]) -> dict[str, Running]:
    """All that these lists name. Where two name one session, the one whose client is further on counts."""
    whole: dict[str, Running] = {}
    for listed in lists:
        for session_id, running in listed.items():
            whole[session_id] = min(whole.get(session_id, running), running, key=_liveliness)
    return whole


def find(bridge: Bridge, session_id: str) -> Running | None:
    """The session as the bridge lists it. None: no process that had its turn runs it. Raises BridgeError.

    The first list that names it is enough, unless several processes are known: then one may list what is left of it,
    and another may run it.
    """
    several, found = are_known(bridge.pk), None
    for _ in in_a_row():
        listed = client.running_sessions(bridge)
        found = merged([{session_id: found} if found else {}, listed]).get(session_id)
        if found is not None and (found.has_begun or not several):
            break
    return found


def stop(bridge: Bridge, session: LinkSession, *, logout: bool) -> None:
    """Stop the session; where several processes are known, at each of them. Raises BridgeError.

    A process that does not run it answers that it is not there, which does no harm.
    """
    if not are_known(bridge.pk):
        client.stop(bridge, session, logout=logout)
        return
    told = 0
    for _ in in_a_row():
        _stop_here(bridge, session, logout=logout)
        told += 1
    if told < IN_A_ROW:
        raise BridgeError("it is too slow to tell all of its processes")


def _stop_here(bridge: Bridge, session: LinkSession, *, logout: bool) -> None:
    try:
        client.stop(bridge, session, logout=logout)
    except BridgeError as error:
        if error.code != NOT_FOUND:
            raise


def start_alone(bridge: Bridge, session: LinkSession) -> None:
    """Open a link at one of several processes, after it was stopped at each: what is left of it must not run beside it.

    Its login stays on disk, which they share. Raises BridgeError.
    """
    try:
        stop(bridge, session, logout=False)
    except BridgeError as error:  # the start has not gone out yet, so the failure is not unclear
        raise BridgeError(f"stopping it before: {error}", code=error.code) from error
    client.start(bridge, session)


def _liveliness(running: Running) -> int:
    return LIVELIEST.index(running.status) if running.status in LIVELIEST else len(LIVELIEST)
