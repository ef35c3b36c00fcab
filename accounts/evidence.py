"""Rule 0: what a bridge's own list of sessions proves, when an event and the record disagree.

Evidence is conservative. A list is one moment of one process: a client that is being restored stands in it as
`qr_scanning`, and one of several processes behind an address knows only its own sessions.
"""

from accounts import orders
from accounts.bridge_reports import Outcome, lock_session, lose, note_seen
from accounts.endings import end
from accounts.lifecycle import EndReason, Status
from accounts.locking import atomically
from accounts.models import BridgeOrder

Why = BridgeOrder.Why


def weigh(order: BridgeOrder, listed: dict[str, str]) -> Outcome:
    """Apply the list to the session that was asked about."""
    session = order.session
    found = listed.get(session.session_id)
    if found is None:
        # Only where somebody waits for it: elsewhere one absence is no proof (rule 12).
        return _found_missing(session.pk) if order.why == Why.PAIR else Outcome.NO_CHANGE
    if found == "connected":
        return _found_connected(session.pk)
    if found in {"disconnected", "error"}:
        return _found_lost(session.pk)
    if found == "qr_scanning" and order.why == Why.LATE_QR:
        return _found_logged_out(session.pk)
    return Outcome.NO_CHANGE


@atomically
def _found_connected(session_pk: int) -> Outcome:
    """The bridge lists it as connected, whatever we missed."""
    account, session = lock_session(session_pk)
    if not session.is_open or account.status == Status.CONNECTED or not session.ever_linked:
        return Outcome.NO_CHANGE  # a first link waits for `session_ready`, which decides whose it is
    note_seen(session)
    account.move(Status.CONNECTED, trigger="check", session=session)
    return Outcome.APPLIED


@atomically
def _found_lost(session_pk: int) -> Outcome:
    """The bridge lists it as down."""
    account, session = lock_session(session_pk)
    return lose(account, session, trigger="check", reason="") if session.is_open else Outcome.ENDED


@atomically
def _found_logged_out(session_pk: int) -> Outcome:
    """It showed a QR code long after its scan, and the bridge lists it as waiting for one: the login is gone."""
    account, session = lock_session(session_pk)
    if not session.is_open or session.authenticated_at is None:
        return Outcome.NO_CHANGE
    end(session, EndReason.LOGGED_OUT, account=account, trigger="check")
    return Outcome.APPLIED


@atomically
def _found_missing(session_pk: int) -> Outcome:
    """The bridge does not run what the record calls connected: start it again, with its stored login."""
    account, session = lock_session(session_pk)
    if not session.is_open or account.status != Status.CONNECTED or session.is_quiet:
        return Outcome.NO_CHANGE
    account.move(Status.DISCONNECTED, trigger="check", session=session, reason="The bridge does not run it.")
    orders.order(session, orders.Kind.START)
    return Outcome.APPLIED
