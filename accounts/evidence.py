"""Rule 0: what a bridge's own list of sessions proves, when an event and the record disagree.

Evidence is conservative. A list is one moment of one process: a client that is being restored stands in it as
`qr_scanning`, and one of several processes behind an address knows only its own sessions.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from accounts import incidents, lost_logins, moving, orders, phones
from accounts.bridge_client import DOWN, ListedAs, Running, running_sessions
from accounts.bridge_reports import Outcome, authenticated, lock_session, lose, note_seen, ready
from accounts.endings import end
from accounts.fleet import RESUMABLE, runs_elsewhere, waits_for_stop
from accounts.lifecycle import READY_WITHIN, RECOVER_AFTER, EndReason, Status
from accounts.locking import atomically
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.queue import enqueue

Why, Kind, State = BridgeOrder.Why, BridgeOrder.Kind, BridgeOrder.State
MISSING = "The bridge does not run it."
# Seconds; longer than a command may take, its retry and a slow browser. Then nobody waits for an unclear answer.
UNCLEAR_FOR = 120
# Seconds; a client that was told to open stands in the list as qr_scanning until its login is read.
OPENS_WITHIN = 60


def look(order: BridgeOrder) -> Outcome:
    """Ask the bridge for its list, and apply it to the session in question. Raises BridgeError."""
    asked_at = timezone.now()
    return weigh(order, running_sessions(order.bridge), asked_at=asked_at)


def weigh(order: BridgeOrder, listed: Mapping[str, Running], *, asked_at: datetime) -> Outcome:
    """Apply the list that the bridge was asked for at this time."""
    session, running = order.session, listed.get(order.session.session_id)
    found = running.status if running else None
    if not LinkSession.objects.filter(pk=session.pk, bridge=order.bridge_id).exists():
        return Outcome.NO_CHANGE  # it was moved to another bridge while this one answered
    if running and found == ListedAs.CONNECTED:
        return found_connected(session.pk, asked_at=asked_at, trigger="check", phone=running.phone_number)
    if order.why == Why.RECOVERY and found is not None:
        return found_down(session.pk, asked_at=asked_at, found=found)
    if found is None:
        # Only of one that is lost, or where somebody waits for it: elsewhere one absence is no proof (rule 12).
        if order.why not in {Why.PAIR, Why.RECOVERY}:
            return Outcome.NO_CHANGE
        why, certain = Why(order.why), order.why == Why.RECOVERY
        return found_missing(session.pk, asked_at=asked_at, trigger="check", why=why, reason=MISSING, certain=certain)
    if found in DOWN:
        return found_lost(session.pk, asked_at=asked_at, trigger="check", reason="")
    if found == ListedAs.QR_SCANNING and order.why == Why.LATE_QR:
        return found_logged_out(
            session.pk, asked_at=asked_at, trigger="check", kept=lost_logins.why_kept(order.bridge, listed)
        )
    return Outcome.NO_CHANGE


def found_connected(session_pk: int, *, asked_at: datetime, trigger: str, phone: str = "") -> Outcome:
    """The bridge lists it as connected, whatever we missed. `phone` as the list has it, if it does: it decides whose
    a first link is, as in `session_ready`."""
    first = LinkSession.objects.filter(pk=session_pk, connected_at__isnull=True, ended_at__isnull=True)
    if phones.E164.fullmatch(phone) and first.exists():
        return ready(session_pk, phone=phone, device_jid="", platform="", trigger=trigger)
    return _found_back(session_pk, asked_at=asked_at, trigger=trigger)


def found_scanned(session_pk: int, running: Running) -> Outcome:
    """The bridge lists as scanned what is about to be stopped after a soft end: the events of the scan were lost, and
    nobody who scanned is thrown away (rule 6)."""
    if running.status == ListedAs.CONNECTED and phones.E164.fullmatch(running.phone_number):
        return ready(session_pk, phone=running.phone_number, device_jid="", platform="", trigger="check")
    return authenticated(session_pk, device_jid="", trigger="check")


@atomically
def _found_back(session_pk: int, *, asked_at: datetime, trigger: str) -> Outcome:
    account, session = lock_session(session_pk)
    if not session.is_open or account.status == Status.CONNECTED or not session.ever_linked:
        return Outcome.NO_CHANGE
    if _is_overtaken(account, session, asked_at):
        return Outcome.STALE
    note_seen(session)
    account.move(Status.CONNECTED, trigger=trigger, session=session)
    return Outcome.APPLIED


@atomically
def found_lost(session_pk: int, *, asked_at: datetime, trigger: str, reason: str) -> Outcome:
    """The bridge lists it as down."""
    account, session = lock_session(session_pk)
    if _is_overtaken(account, session, asked_at):
        return Outcome.STALE
    return lose(account, session, trigger=trigger, reason=reason) if session.is_open else Outcome.ENDED


@atomically
def found_logged_out(session_pk: int, *, asked_at: datetime, trigger: str, kept: str = "") -> Outcome:
    """Long after its scan the bridge shows a code for it, and lists it as waiting: the login is gone, or elsewhere.

    `kept`: why it is only lost for now, and not ended (lost_logins.py).
    """
    account, session = lock_session(session_pk)
    if not session.is_open or session.authenticated_at is None:
        return Outcome.NO_CHANGE
    if _is_overtaken(account, session, asked_at):
        return Outcome.STALE
    if moving.gives_back(account, session):
        return Outcome.APPLIED
    if kept := kept or lost_logins.why_elsewhere(session):
        return _keep(account, session, trigger=trigger, reason=kept)
    end(session, EndReason.LOGGED_OUT, account=account, trigger=trigger, detail=lost_logins.SHOWED_CODE)
    return Outcome.APPLIED


def _keep(account: Account, session: LinkSession, *, trigger: str, reason: str) -> Outcome:
    """It is asked about again with each code: such questions leave one row."""
    asked = session.orders.filter(kind=Kind.CHECK, why=Why.LATE_QR)
    asked.filter(closed_at__isnull=False).delete()
    outcome = lose(account, session, trigger=trigger, reason=reason)
    if outcome == Outcome.NO_CHANGE:
        note_once_a_day(account, session, trigger=trigger, reason=reason)
    return outcome


@atomically
def found_missing(
    session_pk: int, *, asked_at: datetime, trigger: str, why: BridgeOrder.Why, reason: str, certain: bool = False
) -> Outcome:
    """The bridge does not run what should run there: start it again, under the same id, with its stored login.

    `certain`: the bridge has lost it and does not merely hide it, so that no second socket is opened: then also in
    the quiet time (rule 7). `reason` goes into the history.
    """
    account, session = lock_session(session_pk)
    if not session.is_open or session.authenticated_at is None or account.status not in RESUMABLE:
        return Outcome.NO_CHANGE
    if why == Why.RECOVERY and account.status != Status.DISCONNECTED:
        return Outcome.NO_CHANGE  # back before it was asked about: now one absence is no proof (rule 12)
    if _is_overtaken(account, session, asked_at):
        return Outcome.STALE
    if (session.is_quiet and not certain) or not may_open(session):
        return Outcome.NO_CHANGE
    if account.status == Status.CONNECTED:
        account.move(Status.DISCONNECTED, trigger=trigger, session=session, reason=reason)
        enqueue("recover_bridge", session.bridge_id, delay=RECOVER_AFTER + 1)
    else:
        note_once_a_day(account, session, trigger=trigger, reason=f"{reason} It is started again.")
    _open(session, Kind.START, why=why)
    return Outcome.APPLIED


@atomically
def found_down(session_pk: int, *, asked_at: datetime, found: str) -> Outcome:
    """A lost link stands in the bridge's list as `found`, not connected: it shall connect anew (rule 10)."""
    account, session = lock_session(session_pk)
    if not session.is_open or account.status != Status.DISCONNECTED or not may_open(session):
        return Outcome.NO_CHANGE
    if _is_overtaken(account, session, asked_at):
        return Outcome.STALE
    if _is_coming_up(account, session, found=found):
        return Outcome.NO_CHANGE
    seen = f"The bridge lists it as {found[:40]}."
    if session.is_quiet:  # rule 7: the bridge runs it, so a second socket would open beside it
        note_once_a_day(account, session, trigger="check", reason=f"{seen} It was scanned just now: left alone.")
        return Outcome.NO_CHANGE
    note_once_a_day(account, session, trigger="check", reason=f"{seen} It is told to connect again.")
    _open(session, Kind.RECONNECT, why=Why.RECOVERY)
    return Outcome.APPLIED


def _is_overtaken(account: Account, session: LinkSession, asked_at: datetime) -> bool:
    """Whether the session was heard, or its account moved, while the list was on its way: by our own clock, all three.

    Then that is the newer, and the next list will tell. The caller holds the session's lock.
    """
    seen_at = session.last_seen_at
    return account.status_changed_at > asked_at or (seen_at is not None and seen_at > asked_at)


def under_way() -> Q:
    """Orders that somebody still waits for: a bridge that hung up an hour ago will not carry one out any more."""
    lately = timezone.now() - timedelta(seconds=UNCLEAR_FOR)
    return Q(state__in=[State.PENDING, State.CLAIMED]) | Q(state=State.UNCLEAR, created_at__gt=lately)


def may_open(session: LinkSession) -> bool:
    """Unless a bridge is just being told to run it, or to stop it, or another one runs it, or several processes answer
    for it: the order may reach the one that does not have it, and make a second client. The caller holds the session's
    lock, which a list that names a rival waits for."""
    if incidents.Kind.ALTERNATING in incidents.open_of(session.bridge_id):
        return False
    opening = session.orders.filter(under_way(), kind__in=BridgeOrder.OPENING)
    elsewhere = LinkSession.objects.filter(Q(waits_for_stop()) | runs_elsewhere(), pk=session.pk)
    return not opening.exists() and not elsewhere.exists()


def _open(session: LinkSession, kind: BridgeOrder.Kind, *, why: BridgeOrder.Why) -> None:
    """What was tried before leaves no row: a link that is lost for months would fill the table."""
    tried = session.orders.filter(kind__in=BridgeOrder.OPENING)
    tried.filter(state=State.UNCLEAR).update(state=State.FAILED, closed_at=timezone.now())
    tried.filter(why=Why.RECOVERY, closed_at__isnull=False).delete()
    orders.order(session, kind, why=why)


def _is_coming_up(account: Account, session: LinkSession, *, found: str) -> bool:
    """Being opened at the moment, by an order of ours or the bridge's own attempt; or it was, and shows codes."""
    now = timezone.now()
    if found == ListedAs.AUTHENTICATED and account.status_changed_at > now - timedelta(seconds=READY_WITHIN):
        return True
    without_login = found == ListedAs.QR_SCANNING and incidents.Kind.NO_LOGINS in incidents.open_of(session.bridge_id)
    lately = now - timedelta(seconds=lost_logins.PAUSE if without_login else OPENS_WITHIN)
    told = session.orders.filter(kind__in=BridgeOrder.OPENING, created_at__gt=lately)
    return found in {ListedAs.QR_SCANNING, ListedAs.AUTHENTICATED} and told.exists()


def note_once_a_day(account: Account, session: LinkSession, *, trigger: str, reason: str) -> None:
    """A finding about a link that stays lost: in the history when it is new, and once a day while it lasts."""
    since = max(account.status_changed_at, timezone.now() - timedelta(days=1))
    if account.transitions.filter(session=session, reason=reason, created_at__gt=since).exists():
        return
    account.note(trigger=trigger, session=session, reason=reason)
    account.touch()
