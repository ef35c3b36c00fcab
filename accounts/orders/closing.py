"""Closes orders. One that may have reached its bridge is closed by an answer or by evidence.

Who else could be there: a webhook that confirms a start while its POST is still open, the sweep, a twin of a worker
that was frozen for longer than its claim. Every step is a compare-and-set on the order's state.
"""

from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.models import BridgeOrder, LinkSession
from accounts.orders import turns

Kind, State, Setback = BridgeOrder.Kind, BridgeOrder.State, BridgeOrder.Setback

OUT = (State.CLAIMED, State.UNCLEAR)  # may be at the bridge
LOOK_AGAIN = 5  # seconds between the first looks for evidence; a quarter of the order's age later on


@atomically
def confirm(order: BridgeOrder) -> None:
    """Close an order that was carried out, and clear the problems of earlier tries."""
    close(order, State.CONFIRMED, setback=Setback.NONE)


@atomically
def close(
    order: BridgeOrder, state: BridgeOrder.State, *, setback: BridgeOrder.Setback | None = None, error: str = ""
) -> None:
    """Close the order, unless a webhook has confirmed it meanwhile. Without a `setback` the last problem stays."""
    has_closed = BridgeOrder.objects.filter(pk=order.pk).move(OUT, state, setback=setback, error=error)
    if has_closed and order.kind == Kind.STOP and order.session.ended_softly:
        enqueue("advance_line", order.bridge_id)  # until now it had a place there (accounts/pairing/waiting_line.py)


@atomically
def leave_in_doubt(order: BridgeOrder, *, setback: BridgeOrder.Setback | None = None, error: str = "") -> None:
    """It may have been carried out: from now on evidence is looked for (accounts/delivery/in_doubt.py)."""
    mine = BridgeOrder.objects.filter(pk=order.pk)
    if mine.move(OUT, State.UNCLEAR, due_in=LOOK_AGAIN, setback=setback, error=error):
        enqueue("settle_order", order.pk, delay=LOOK_AGAIN)


def confirm_start(session: LinkSession) -> None:
    """Confirm the session's start, whatever its POST answers: a session that sends events runs.

    If the POST is still open, the slot is released when it returns.
    """
    starts = session.orders.filter(kind__in=BridgeOrder.OPENING, bridge=session.bridge_id)
    waiting = list(starts.filter(state__in=OUT))
    if not waiting:
        return
    starts.move(OUT, State.CONFIRMED)
    for start in waiting:
        if start.state == State.UNCLEAR:
            turns.leave_after_commit(start)
