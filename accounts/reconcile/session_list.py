"""Decides by a bridge's list of sessions when an event and the record disagree.

It is conservative. A list shows one moment of one process: a client that is being restored is listed as `qr_scanning`,
and one of several processes behind an address knows only its own sessions.
"""

from collections.abc import Mapping
from datetime import datetime

from django.utils import timezone

from accounts.bridges import in_turn
from accounts.bridges.client import DOWN, BridgeError, ListedAs, Running, running_sessions
from accounts.db.transactions import atomically
from accounts.lifecycle import EndCause, EndReason, Status
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.pairing.bridge_events import Outcome, authenticated, lock_session, lose, note_seen
from accounts.pairing.confirmation import ready
from accounts.pairing.session_end import end
from accounts.reconcile import findings, lost_logins, opening, relocation

Why, Kind = BridgeOrder.Why, BridgeOrder.Kind
OPENED = frozenset({Why.PAIR, Why.RECOVERY})  # what is absent is opened for these
MISSING = "The bridge does not run it."


def look(order: BridgeOrder) -> Outcome:
    """Ask the bridge for its list, and apply it to the session in question. Raises BridgeError."""
    asked_at = timezone.now()
    # Recovery's question opens nothing where several processes are known, so the list of one will do.
    if order.why != Why.RECOVERY and in_turn.is_known(order.bridge_id):
        return weigh(order, _listed_by_all(order), asked_at=asked_at)
    listed = running_sessions(order.bridge)
    if order.session.session_id not in listed and order.why in OPENED and opening.may_open(order.session):
        listed |= _as_found(order)
    return weigh(order, listed, asked_at=asked_at)


def _listed_by_all(order: BridgeOrder) -> dict[str, Running]:
    """What several processes run: one alone may list what is left of a client that runs in another."""
    heard = in_turn.hear_all(order.bridge, within=in_turn.WITHIN)
    running = heard.listed.get(order.session.session_id)
    if not heard.is_all and (running is None or not running.has_begun):
        raise BridgeError("it is too slow to ask all of its processes")
    return heard.listed


def _as_found(order: BridgeOrder) -> dict[str, Running]:
    """The session alone, where another process of its bridge lists it: perhaps nobody knows yet that there are several,
    and to open it would make a second client."""
    found = in_turn.find(order.bridge, order.session.session_id)
    return {found.session_id: found} if found else {}


def weigh(order: BridgeOrder, listed: Mapping[str, Running], *, asked_at: datetime) -> Outcome:
    """Apply the list that the bridge was asked for at this time."""
    session, running = order.session, listed.get(order.session.session_id)
    if not LinkSession.objects.filter(pk=session.pk, bridge=order.bridge_id).exists():
        return Outcome.NO_CHANGE  # it was moved to another bridge while this one answered
    if running is None:
        return _weigh_absence(order, asked_at=asked_at)
    if running.is_connected:
        return found_connected(session.pk, asked_at=asked_at, trigger="check", phone=running.phone_number)
    if order.why == Why.RECOVERY:
        return opening.found_down(session.pk, asked_at=asked_at, found=running.status)
    if running.status in DOWN:
        return found_lost(session.pk, asked_at=asked_at, trigger="check", reason="")
    if running.status == ListedAs.QR_SCANNING and order.why == Why.LATE_QR:
        return found_logged_out(
            session.pk, asked_at=asked_at, trigger="check", kept=lost_logins.why_kept(order.bridge, listed)
        )
    return Outcome.NO_CHANGE


def _weigh_absence(order: BridgeOrder, *, asked_at: datetime) -> Outcome:
    """A single absence counts only for a lost link, or where somebody waits for the answer (rule "No guess")."""
    if order.why not in OPENED:
        return Outcome.NO_CHANGE
    why, certain = Why(order.why), order.why == Why.RECOVERY
    return opening.found_missing(
        order.session_id, asked_at=asked_at, trigger="check", why=why, reason=MISSING, certain=certain
    )


def found_connected(session_pk: int, *, asked_at: datetime, trigger: str, phone: str = "") -> Outcome:
    """The bridge lists it as connected, so an event was missed. `phone` is what the list says, if anything: it decides
    whose a first link is, as in `session_ready`."""
    first = LinkSession.objects.filter(pk=session_pk, connected_at__isnull=True, ended_at__isnull=True)
    if phone and first.exists():
        return ready(session_pk, phone=phone, device_jid="", platform="", trigger=trigger)
    return _found_back(session_pk, asked_at=asked_at, trigger=trigger)


def found_scanned(session_pk: int, running: Running) -> Outcome:
    """The bridge lists a session as scanned that is about to be stopped after a soft end: the events of the scan were
    lost. It is reopened (rule "Soft ends")."""
    if running.is_connected and running.phone_number:
        return ready(session_pk, phone=running.phone_number, device_jid="", platform="", trigger="check")
    return authenticated(session_pk, device_jid="", trigger="check")


@atomically
def _found_back(session_pk: int, *, asked_at: datetime, trigger: str) -> Outcome:
    account, session = lock_session(session_pk)
    if not session.is_open or account.status == Status.CONNECTED or not session.ever_linked:
        return Outcome.NO_CHANGE
    if findings.is_overtaken(account, session, asked_at):
        return Outcome.STALE
    note_seen(session)
    account.move(Status.CONNECTED, trigger=trigger, session=session)
    return Outcome.APPLIED


@atomically
def found_lost(session_pk: int, *, asked_at: datetime, trigger: str, reason: str) -> Outcome:
    """The bridge lists it as down."""
    account, session = lock_session(session_pk)
    if findings.is_overtaken(account, session, asked_at):
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
    if findings.is_overtaken(account, session, asked_at):
        return Outcome.STALE
    if relocation.gives_back(account, session):
        return Outcome.APPLIED
    if kept := kept or lost_logins.why_elsewhere(session):
        return _keep(account, session, trigger=trigger, reason=kept)
    why, cause = EndReason.LOGGED_OUT, EndCause.SHOWED_CODE
    end(session, why, account=account, trigger=trigger, cause=cause, detail=lost_logins.SHOWED_CODE)
    return Outcome.APPLIED


def _keep(account: Account, session: LinkSession, *, trigger: str, reason: str) -> Outcome:
    """Note why it is not ended. Each code asks about it again, so this leaves one row only."""
    asked = session.orders.filter(kind=Kind.CHECK, why=Why.LATE_QR)
    asked.filter(closed_at__isnull=False).delete()
    outcome = lose(account, session, trigger=trigger, reason=reason)
    if outcome == Outcome.NO_CHANGE:
        findings.note_once_a_day(account, session, trigger=trigger, reason=reason)
    return outcome
