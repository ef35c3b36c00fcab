"""Orders that were not carried out: tried again later, given up, or left to evidence where they may have arrived.

Who else could be there: a twin that has claimed the order since our claim ran out. `attempts` tells the claims apart.
"""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.bridges import circuit_breaker
from accounts.bridges.client import BridgeError
from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.models import BridgeOrder
from accounts.orders import closing, turns
from accounts.pairing import elsewhere
from accounts.pairing.bridge_events import lock_session

Kind, State, Setback = BridgeOrder.Kind, BridgeOrder.State, BridgeOrder.Setback

CHECK_TRIES = 5
STOPS_KEPT = timedelta(hours=24)  # how long a stop is tried at a bridge that is away
ONCE_KEPT = timedelta(minutes=2)  # how long somebody waits for a pairing code or a test message
# These are tried again only if no bridge was reached. The text tells what may have happened otherwise.
MAY_HAVE: dict[str, str] = {
    Kind.PAIRING_CODE: "The phone may be asking for it.",
    Kind.TEST_MESSAGE: "It may have been sent.",
}
ONCE = frozenset(MAY_HAVE)
DIED = "it was broken off before an answer was noted"  # the worker died, or the database was away for too long


def not_done(order: BridgeOrder, error: BridgeError) -> None:
    if error.never_arrived and elsewhere.send(order):
        return
    if order.kind in ONCE:
        _not_done_once(order, error)
    elif error.unclear and order.kind != Kind.CHECK:
        closing.leave_in_doubt(order, setback=Setback.TRY_FAILED, error=str(error))
    elif error.permanent or is_given_up(order):
        _fail(order, str(error))
    else:
        _put_back(order, error)
    if order.setback != Setback.TRY_FAILED:  # only the first failure is told
        _tell(order, error)


def note_answer(order: BridgeOrder, error: BridgeError) -> None:
    """Note whether the bridge works: most 4xx show that it does, as does an error for one message or pairing code."""
    if error.is_the_bridges and not (order.kind in ONCE and error.code):
        circuit_breaker.failed(order.bridge, str(error))
    else:
        circuit_breaker.answered(order.bridge)


def _not_done_once(order: BridgeOrder, error: BridgeError) -> None:
    if error.unclear:
        _fail(order, f"{error}. {MAY_HAVE[order.kind]}")
    elif error.permanent or error.code or is_given_up(order):
        _fail(order, str(error))
    else:
        _put_back(order, error)


def _fail(order: BridgeOrder, error: str, *, setback: BridgeOrder.Setback = Setback.TRY_FAILED) -> None:
    closing.close(order, State.FAILED, setback=setback, error=error)
    enqueue("order_failed", order.pk)


@atomically
def _tell(order: BridgeOrder, error: BridgeError) -> None:
    """Tell in the account's history why nothing happens; not for recovery, which would fill it.

    Nothing is told of an order that an event has confirmed meanwhile: it holds the session's lock while it does so.
    """
    if order.why == BridgeOrder.Why.RECOVERY:
        return
    account, session = lock_session(order.session_id)
    if BridgeOrder.objects.filter(pk=order.pk, state=State.CONFIRMED).exists():
        return
    trigger = "order_unclear" if error.unclear else "order_failed"
    account.note(trigger=trigger, session=session, reason=f"{order.kind.replace('_', ' ')}: {error}"[:500])
    account.touch()


def is_given_up(order: BridgeOrder) -> bool:
    """Whether it is tried no more: a stop after a day, a code or a message after two minutes, others after CHECK_TRIES;
    but a pairing's start only when its session lapses."""
    age = timezone.now() - order.created_at
    if order.kind == Kind.STOP:
        return age > STOPS_KEPT
    if order.kind in ONCE:
        return age > ONCE_KEPT
    return (order.kind != Kind.START or bool(order.why)) and order.attempts >= CHECK_TRIES


def _put_back(order: BridgeOrder, error: BridgeError) -> None:
    """Try it again later.

    After any answer it may have been carried out, so the next try looks at the list. If no bridge was reached,
    `posted_at` is set back to that of the earlier try, which may have arrived.
    """
    before = {} if error.code else {"posted_at": order.posted_at}
    _wait_again(order, order.pause, setback=Setback.TRY_FAILED, error=str(error), **before)


def wait_for_another_turn(order: BridgeOrder) -> None:
    """It lost its slot before anything was sent, so this is not counted as a try."""
    _wait_again(order, turns.turn(order), attempts=order.attempts - 1)


def _wait_again(order: BridgeOrder, delay: float, **values: Any) -> None:
    mine = BridgeOrder.objects.filter(pk=order.pk, attempts=order.attempts)
    if mine.move([State.CLAIMED], State.PENDING, due_in=delay, **values):
        enqueue("deliver_order", order.pk, delay=delay)


def release(order: BridgeOrder) -> None:
    """Deliver an order again of which no answer was noted; but never repeat a start that may have been posted."""
    dead = BridgeOrder.objects.filter(pk=order.pk, state=State.CLAIMED, due_at=order.due_at)
    unsent = dead.filter(posted_at=None) if order.is_start else dead
    if order.kind in ONCE and order.posted_at:  # no list shows what came of it
        lost = BridgeError(f"{DIED}. {MAY_HAVE[order.kind]}")
        _fail(order, str(lost), setback=Setback.WORKER_DIED)
        _tell(order, lost)
    elif not unsent.exists():
        if dead.move([State.CLAIMED], State.UNCLEAR, setback=Setback.WORKER_DIED, error=DIED):
            enqueue("settle_order", order.pk)
            _tell(order, BridgeError(DIED, unclear=True))
    elif is_given_up(order):
        _fail(order, DIED, setback=Setback.WORKER_DIED)
    elif unsent.move([State.CLAIMED], State.PENDING, setback=Setback.WORKER_DIED, error=DIED):
        enqueue("deliver_order", order.pk)
