"""Opening a link again at its bridge, with its stored login: when that is allowed, and how it is ordered.

Who else could be there: an order that opens or stops it already, another bridge that runs it, a second process of its
bridge. Each of them would make a second client of one login, which gets the phone logged out.
"""

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from accounts.bridges import in_turn, incidents
from accounts.bridges.client import ListedAs
from accounts.bridges.ownership import RESUMABLE, runs_elsewhere, waits_for_stop
from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.lifecycle import READY_WITHIN, RECOVER_AFTER, Status
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.orders import outbox
from accounts.pairing.bridge_events import Outcome, lock_session
from accounts.reconcile import findings, lost_logins

Why, Kind, State = BridgeOrder.Why, BridgeOrder.Kind, BridgeOrder.State
# Seconds; longer than a command, its retry and a slow browser take. An unclear order is not waited for any longer.
UNCLEAR_FOR = 120
# Seconds; a client that was told to open is listed as qr_scanning until its login is read.
OPENS_WITHIN = 60
# Recovery opens only links that are still lost: for one that is back, a single absence is no proof (rule "No guess").
OPENED_FROM: dict[BridgeOrder.Why, list[Status]] = {Why.RECOVERY: [Status.DISCONNECTED]}


@atomically
def found_missing(
    session_pk: int,
    *,
    asked_at: datetime,
    trigger: str,
    why: BridgeOrder.Why,
    reason: str,
    certain: bool = False,
    heard_all: bool = False,
) -> Outcome:
    """The bridge does not run what should run there: start it again, under the same id, with its stored login.

    `certain`: it surely does not run, so no second socket is opened, and it is started in the quiet time as well (rule
    "Quiet time"). `heard_all`: none of the bridge's several processes runs it. `reason` goes into the history.
    """
    account, session = lock_session(session_pk)
    if not session.is_open or session.authenticated_at is None or account.status not in OPENED_FROM.get(why, RESUMABLE):
        return Outcome.NO_CHANGE
    if findings.is_overtaken(account, session, asked_at):
        return Outcome.STALE
    if (session.is_quiet and not certain) or not may_open(session, heard_all=heard_all):
        return Outcome.NO_CHANGE
    if account.status == Status.CONNECTED:
        account.move(Status.DISCONNECTED, trigger=trigger, session=session, reason=reason)
        enqueue("recover_bridge", session.bridge_id, delay=RECOVER_AFTER + 1)
    else:
        findings.note_once_a_day(account, session, trigger=trigger, reason=f"{reason} It is started again.")
    _open(session, Kind.START, why=why)
    return Outcome.APPLIED


@atomically
def found_down(session_pk: int, *, asked_at: datetime, found: str) -> Outcome:
    """A lost link stands in the bridge's list as `found`, not connected: it shall connect anew (rule "Recovery")."""
    account, session = lock_session(session_pk)
    if not session.is_open or account.status != Status.DISCONNECTED or not may_open(session):
        return Outcome.NO_CHANGE
    if findings.is_overtaken(account, session, asked_at):
        return Outcome.STALE
    if _is_coming_up(account, session, found=found):
        return Outcome.NO_CHANGE
    seen = f"The bridge lists it as {found[:40]}."
    if session.is_quiet:  # rule "Quiet time": the bridge runs it, so a second socket would open beside it
        findings.note_once_a_day(
            account, session, trigger="check", reason=f"{seen} It was scanned just now: left alone."
        )
        return Outcome.NO_CHANGE
    findings.note_once_a_day(account, session, trigger="check", reason=f"{seen} It is told to connect again.")
    _open(session, Kind.RECONNECT, why=Why.RECOVERY)
    return Outcome.APPLIED


def under_way() -> Q:
    """Orders that may still be carried out; an unclear one that is older than UNCLEAR_FOR will not be."""
    lately = timezone.now() - timedelta(seconds=UNCLEAR_FOR)
    return Q(state__in=[State.PENDING, State.CLAIMED]) | Q(state=State.UNCLEAR, created_at__gt=lately)


def may_open(session: LinkSession, *, heard_all: bool = False) -> bool:
    """Whether no order opens it already, no move waits for its stop, no rival runs it, and one process answers for its
    bridge, or all were heard: of several, one that does not have it would make a second client. The caller holds the
    session's lock, which a list that names a rival waits for."""
    if in_turn.is_known(session.bridge_id) and not heard_all:
        return False
    opening = session.orders.filter(under_way(), kind__in=BridgeOrder.OPENING)
    elsewhere = LinkSession.objects.filter(Q(waits_for_stop()) | runs_elsewhere(), pk=session.pk)
    return not opening.exists() and not elsewhere.exists()


def _open(session: LinkSession, kind: BridgeOrder.Kind, *, why: BridgeOrder.Why) -> None:
    """Order it, and delete recovery's earlier orders: a link that is lost for months would fill the table."""
    tried = session.orders.filter(kind__in=BridgeOrder.OPENING)
    tried.move([State.UNCLEAR], State.FAILED)
    tried.filter(why=Why.RECOVERY, closed_at__isnull=False).delete()
    outbox.order(session, kind, why=why)


def _is_coming_up(account: Account, session: LinkSession, *, found: str) -> bool:
    """Whether it is being opened, by our order or by the bridge itself; or was opened lately and shows codes."""
    now = timezone.now()
    if found == ListedAs.AUTHENTICATED and account.status_changed_at > now - timedelta(seconds=READY_WITHIN):
        return True
    without_login = found == ListedAs.QR_SCANNING and incidents.Kind.NO_LOGINS in incidents.open_of(session.bridge_id)
    lately = now - timedelta(seconds=lost_logins.PAUSE if without_login else OPENS_WITHIN)
    told = session.orders.filter(kind__in=BridgeOrder.OPENING, created_at__gt=lately)
    return found in {ListedAs.QR_SCANNING, ListedAs.AUTHENTICATED} and told.exists()
