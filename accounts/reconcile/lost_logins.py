"""A bridge shows a QR code for a link: was the device removed on the phone, or has the bridge lost its logins?

Unlike LOGOUT, a code does not come from WhatsApp: a bridge that came up with an empty data directory shows one for
each link, and with the right directory back all of them work. So its whole list is looked at before one is ended
(rule "No guess").

Who else could be there: the questions about its other sessions, lists, a restart that still brings links back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from accounts.bridges import incidents, ownership
from accounts.bridges.client import ListedAs, Running
from accounts.bridges.incidents import Kind
from accounts.lifecycle import EndCause
from accounts.models import Bridge, BridgeOrder, LinkSession

# Rule "No guess", as in unwanted.py: if more of a bridge's links than both show a code, none is ended.
AT_ONCE = 3
SHARE = 0.05
WITHIN = timedelta(minutes=15)  # they are found one after the other: recovery tries each within 11
PAUSE = 600  # seconds; one more client without a login only shows one more code

SHOWED_CODE = "It showed a QR code."  # for people: code reads EndCause
MANY = "The bridge asks for a new code, and so it does for many links: perhaps it has lost their logins. Not ended."
NOT_YET = "The bridge asks for a new code, but it does not run all of its links: they may be coming up. Not ended."
OBSERVED = "The bridge asks for a new code. This desk only observes: not ended."
RUNS_ELSEWHERE = "The bridge asks for a new code, but another bridge runs it, or did not long ago. Not ended."
MOVED = (
    "The bridge asks for a new code. It was being moved not long ago: its login may be on the other machine. Not ended."
)


@dataclass(frozen=True)
class Logins:
    """Counts of a bridge's `links`: `absent` from its list; listed as `waiting` for a scan, and of these `asked` about
    for a code that came; and those `ended` for such a code lately."""

    links: int
    absent: int
    waiting: int
    asked: int
    ended: int

    @property
    def at_most(self) -> float:
        return max(AT_ONCE, SHARE * self.links)

    @property
    def may_be_gone(self) -> int:
        """An absent link may be the next to show a code: a bridge brings its sessions up one after the other."""
        return self.waiting + self.absent + self.ended


def why_kept(bridge: Bridge, listed: Mapping[str, Running]) -> str:
    """Why a code for a link is not taken for a log-out; empty: it is. Reports an incident if there are many."""
    found = _count(bridge, listed)
    if found.asked + found.ended > found.at_most:
        _report(bridge, found)
    if settings.LINKDESK_RECONCILE == "observe":
        return OBSERVED
    if found.may_be_gone <= found.at_most:
        return ""
    return MANY if found.waiting + found.ended > found.at_most else NOT_YET


def why_elsewhere(session: LinkSession) -> str:
    """Why this session's login may be on another machine: a rival ran it, or it was moved, and it was not connected
    since. Empty: neither.

    The caller holds the session's lock, which moves and lists that name a rival wait for.
    """
    lately = timezone.now() - ownership.STOP_AWAITED
    moved_at = session.moves.order_by("-pk").values_list("started_at", flat=True).first()
    for reason, at in ((RUNS_ELSEWHERE, session.rival_seen_at), (MOVED, moved_at)):
        if at is None or at < lately:
            continue
        if session.last_connected_at is None or session.last_connected_at <= at:
            return reason
    return ""


def look(bridge: Bridge, listed: Mapping[str, Running], *, is_open: Mapping[str, datetime]) -> None:
    """Update or close an open incident by the list, for while it is open single codes are not asked about. A list
    never opens one: a session that is being restored is listed as qr_scanning, too."""
    if Kind.NO_LOGINS not in is_open:
        return
    found = _count(bridge, listed)
    if found.may_be_gone <= found.at_most:
        incidents.close(bridge.pk, Kind.NO_LOGINS)
    elif found.waiting > found.at_most:
        _report(bridge, found)


def _count(bridge: Bridge, listed: Mapping[str, Running]) -> Logins:
    since = timezone.now() - WITHIN
    links = set(ownership.resumable(bridge.pk).values_list("session_id", flat=True))
    waiting = {name for name in links if name in listed and listed[name].status == ListedAs.QR_SCANNING}
    asked = BridgeOrder.objects.filter(bridge=bridge, why=BridgeOrder.Why.LATE_QR, created_at__gt=since)
    ended = LinkSession.objects.filter(bridge=bridge, end_cause=EndCause.SHOWED_CODE)
    return Logins(
        links=len(links),
        absent=len(links - listed.keys()),
        waiting=len(waiting),
        asked=len(waiting.intersection(asked.values_list("session__session_id", flat=True))),
        ended=ended.filter(ended_at__gt=since).count(),
    )


def _report(bridge: Bridge, found: Logins) -> None:
    ended = f"{found.ended} were ended before this was seen, no more are." if found.ended else "Nothing was ended."
    summary = (
        f"The bridge asks for new codes for {found.waiting} of {found.links} links: it has probably lost its data "
        f"folder. Look at BRIDGE_DATA_DIR. {ended}"
    )
    incidents.report(bridge.pk, Kind.NO_LOGINS, summary=summary)
