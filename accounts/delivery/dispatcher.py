"""Posts orders: it claims one when its turn has come, checks whether a start runs already, and sends it to the bridge.

Who else could be there: a second hint for the same order, the sweep, a webhook that confirms the order while its
POST is still open, staff ending the session in between. Every step is a compare-and-set on the order's state.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from django.db import DatabaseError
from django.utils import timezone

from accounts.bridges import circuit_breaker, client, in_turn
from accounts.bridges.client import SCANNED, BridgeError, Running
from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.delivery import retries
from accounts.jobs import leases
from accounts.jobs.queue import enqueue
from accounts.lifecycle import FIRST_QR_WITHIN
from accounts.models import Bridge, BridgeOrder, LinkSession
from accounts.orders import closing, outbox, turns
from accounts.pairing import codes, link_probe, waiting_line
from accounts.reconcile import session_list

Kind, State = BridgeOrder.Kind, BridgeOrder.State

# Seconds; longer than one delivery takes: reading the list, then the command (bridges/client.py has both).
LEASE = 25
# Seconds after a stop: a Node bridge opens again within 5 s what it lost just before. Looks are so far apart at least.
LOOK_BACK, LOOKS_APART = 7, 1

log = logging.getLogger(__name__)

Note = Callable[[], object]  # keeps what the bridge's good answer says

_CARRY_OUT: dict[str, Callable[[BridgeOrder], Note | None]] = {
    Kind.START: lambda order: _open(order, client.start),
    Kind.RECONNECT: lambda order: _open(order, client.reconnect),
    Kind.STOP: lambda order: in_turn.stop(order.bridge, order.session, logout=order.logout),
    Kind.CHECK: lambda order: _check(order),
    Kind.PAIRING_CODE: codes.fetch,
    Kind.TEST_MESSAGE: link_probe.send,
}


def deliver(order_id: int) -> None:
    """Carry the order out if it is due, wanted, its bridge's turn has come, and nobody else has it."""
    claimed = _claim(order_id)
    if claimed is None:
        return
    try:
        _carry_out(claimed)
    except BridgeError as error:
        retries.note_answer(claimed, error)
        retries.not_done(claimed, error)
    except Exception as error:  # our bug, or an unforeseen answer: its tries are limited, too
        kind = type(error).__name__
        log.error("order %s (%s): %s", claimed.pk, claimed.kind, kind)  # its text may hold a number
        retries.not_done(claimed, BridgeError(f"an error of ours ({kind})", unclear=_has_gone_out(claimed)))
    finally:
        turns.leave(claimed)


def sweep() -> int:
    """Find what the queue lost: due orders, dead claims, unclear answers. Gives how many were looked at."""
    now = timezone.now()
    due = list(BridgeOrder.objects.filter(state=State.PENDING, due_at__lte=now).values_list("pk", flat=True)[:500])
    stuck = BridgeOrder.objects.filter(state__in=[State.CLAIMED, State.UNCLEAR], due_at__lte=now)
    unsettled = list(stuck.values_list("pk", flat=True)[:500])
    for pk in due:
        enqueue("deliver_order", pk)
    for pk in unsettled:
        enqueue("settle_order", pk)
    return len(due) + len(unsettled)


@atomically
def _claim(order_id: int) -> BridgeOrder | None:
    """Take the order, under the session's lock: two orders of one session are never on the wire together.

    This takes its bridge's slot as well. An order that must wait is delivered later; this is not counted as a try.
    """
    session_pk = BridgeOrder.objects.filter(pk=order_id).values_list("session_id", flat=True).first()
    if session_pk is None:
        return None
    locks.row(LinkSession, pk=session_pk)
    order = BridgeOrder.objects.select_related("session__account", "bridge").get(pk=order_id)
    now = timezone.now()
    if order.state != State.PENDING or order.due_at > now:
        return None
    if wait := _must_wait(order):
        BridgeOrder.objects.filter(pk=order.pk).update(due_at=now + timedelta(seconds=wait))
        enqueue("deliver_order", order.pk, delay=wait)
        return None
    mine = BridgeOrder.objects.filter(pk=order.pk)
    if not mine.move([State.PENDING], State.CLAIMED, due_in=LEASE, attempts=order.attempts + 1):
        return None
    order.refresh_from_db(fields=["state", "attempts", "due_at"])
    enqueue("settle_order", order.pk, delay=LEASE + 1)  # for when this worker dies with it
    if order.kind == Kind.START and order.attempts == 1:
        enqueue("expire_session", order.session_id, delay=FIRST_QR_WITHIN + 1)
    return order


def _must_wait(order: BridgeOrder) -> float:
    """Seconds that it must wait; 0: it is its turn, and it has its bridge's slot."""
    if pause := circuit_breaker.pause(order.bridge):
        return pause
    if turns.session_is_busy(order):
        return 2
    if order.kind == Kind.START and not order.attempts and order.bridge.failing_since is None:
        waiting_line.asks_for_its_turn(order)
    return 0 if turns.enter(order, seconds=LEASE) else turns.turn(order)


def _carry_out(order: BridgeOrder) -> None:
    _look_for_a_scan(order)
    found = _found(order) if order.is_wanted else None
    if found is not None and _is_done(order, found):
        closing.confirm(order)
    elif not _is_still_wanted(order):
        _drop(order)
    elif not turns.stay(order):
        retries.wait_for_another_turn(order)
    elif _is_still_mine(order):
        # A session that is listed and does not run is a remainder: a reconnect closes it, a start would run beside it.
        note = _CARRY_OUT[order.kind if found is None else Kind.RECONNECT](order)
        circuit_breaker.answered(order.bridge)
        _note_done(order, note)
        _look_back(order)


def _note_done(order: BridgeOrder, note: Note | None) -> None:
    """Keep the answer and confirm the order. If the database cannot take that now, the list will prove it: the bridge's
    good answer stays true, so nobody is told of a failure."""
    try:
        if note is not None:
            note()
        closing.confirm(order)
    except DatabaseError as error:
        log.warning("order %s (%s) was carried out, but not noted: %s", order.pk, order.kind, type(error).__name__)
        if order.kind != Kind.CHECK:  # a check is made again when its claim has run out
            with suppress(DatabaseError):  # so is the look for evidence
                closing.leave_in_doubt(order)


def _check(order: BridgeOrder) -> None:
    session_list.look(order)


def _open(order: BridgeOrder, command: Callable[[Bridge, LinkSession], None]) -> None:
    """Open the session; a link of a bridge of several processes only after it was stopped at each of them."""
    if order.session.authenticated_at is not None and in_turn.is_known(order.bridge_id):
        command = in_turn.start_alone
    command(order.bridge, order.session)


def _drop(order: BridgeOrder) -> None:
    """Close it without posting it; but leave a start in doubt if an earlier try may have arrived."""
    if order.is_start and turns.may_have_arrived(order):
        closing.leave_in_doubt(order)
    else:
        closing.close(order, State.CANCELLED)


def _look_for_a_scan(order: BridgeOrder) -> None:
    """Before a soft end's stop, look in the list for a scan whose events were lost (rule "Soft ends")."""
    soft = order.kind == Kind.STOP and order.session.ended_softly and not order.logout
    if not soft or order.bridge_id != order.session.bridge_id:
        return
    running = _find(order)
    if running is not None and running.status in SCANNED:
        session_list.found_scanned(order.session_id, running)


def _is_still_wanted(order: BridgeOrder) -> bool:
    """Read the session anew: somebody may have ended it since the claim, or while the list was read."""
    order.session.refresh_from_db(fields=["ended_at", "bridge"])
    return order.is_wanted


def _is_still_mine(order: BridgeOrder) -> bool:
    """The last step before the POST: note it in the row. False: an event has confirmed the start, or a twin has it.

    `order` itself is left as it is: its `posted_at` still tells whether an earlier try may have arrived.
    """
    mine = BridgeOrder.objects.filter(pk=order.pk, state=State.CLAIMED, attempts=order.attempts)
    return bool(mine.update(posted_at=timezone.now()))


def _has_gone_out(order: BridgeOrder) -> bool:
    """Whether this try was posted: `order` still has the `posted_at` of the one before."""
    return not BridgeOrder.objects.filter(pk=order.pk, posted_at=order.posted_at).exists()


def _look_back(order: BridgeOrder) -> None:
    """Stop a session that ended while its start's POST was open: it runs now, even if it was stopped before. And look
    whether a link stays stopped."""
    if order.is_start and not _is_still_wanted(order):
        outbox.stop_again(order)
    elif order.kind == Kind.STOP and _is_over(order.session):
        _look_soon(order.bridge_id)


def _look_soon(bridge_id: int) -> None:
    """Each stop has its own look; only stops in one second share it, or many at once would fill the queue."""
    name = f"look back at bridge {bridge_id}"
    holder = leases.take(name, seconds=LOOKS_APART, due=timezone.now() - timedelta(seconds=LOOKS_APART))
    if holder is not None:
        leases.release(name, holder)
        enqueue("poll_bridge", bridge_id, delay=LOOK_BACK)


def _is_over(session: LinkSession) -> bool:
    """Whether it was scanned and has ended for good."""
    return session.authenticated_at is not None and not session.is_open and not session.ended_softly


def _found(order: BridgeOrder) -> Running | None:
    """Look in the list if the session may have been started before: a Node bridge that is told twice runs two clients.

    This includes every link, as bridges restore links by themselves: the order that started it may be deleted by now,
    and an adopted one never had any.
    """
    return _find(order) if order.is_start and _may_run(order) else None


def _is_done(order: BridgeOrder, found: Running) -> bool:
    """Whether the list shows a state that the order leads to. What shall reconnect may have shown codes before."""
    return found.has_begun if order.kind == Kind.START else found.has_phone


def _may_run(order: BridgeOrder) -> bool:
    if order.posted_at is not None or order.kind != Kind.START:
        return order.posted_at is not None
    # An old order may have been posted before: this database may be a restored backup.
    is_late = order.created_at < timezone.now() - timedelta(seconds=FIRST_QR_WITHIN)
    before = order.session.orders.filter(kind=Kind.START, pk__lt=order.pk)  # it was reopened
    return is_late or order.session.authenticated_at is not None or before.exists()


def _find(order: BridgeOrder) -> Running | None:
    try:
        return in_turn.find(order.bridge, order.session.session_id)
    except BridgeError as error:  # nothing was posted yet, so the failure is not unclear
        raise BridgeError(f"its list: {error}", code=error.code, never_arrived=error.never_arrived) from error
