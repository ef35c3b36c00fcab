"""Attempts whose start surely never arrived go to another bridge at once: nobody listens at theirs.

Who else could be there: staff ending the attempt, its deadline, another worker that delivers one of the starts.
"""

from typing import Any

from accounts.bridges import choosing
from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.jobs.row_by_row import safely
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.models.order import BridgeOrderQuerySet
from accounts.pairing import waiting_line

State = BridgeOrder.State


def send(refused: BridgeOrder) -> bool:
    """Let another bridge take the attempt of this start, and those whose starts still wait at its bridge. False: it
    stays, and is tried again. The caller has claimed it, and `posted_at` is that of an earlier try."""
    if refused.posted_at is not None or not _of_attempts().filter(pk=refused.pk).exists():
        return False
    if not safely(_send, refused.pk, state=State.CLAIMED, attempts=refused.attempts):
        return False
    waiting = _of_attempts().filter(bridge=refused.bridge_id, state=State.PENDING, posted_at=None)
    for pk in list(waiting.order_by("pk").values_list("pk", flat=True)[: waiting_line.AT_ONCE]):
        safely(_send, pk, state=State.PENDING, posted_at=None)
    return True


def _of_attempts() -> BridgeOrderQuerySet:
    """Starts of attempts that nobody has scanned, and that show no code."""
    starts = BridgeOrder.objects.filter(kind=BridgeOrder.Kind.START, why="", session__ended_at=None)
    return starts.filter(session__authenticated_at=None, session__first_qr_at=None)


@atomically
def _send(order_id: int, **as_before: Any) -> bool:
    """`as_before`: what must still hold when its order is closed; else somebody has it, or it may have gone out."""
    start = BridgeOrder.objects.filter(pk=order_id, **as_before)
    order = start.select_related("session__account__workspace").first()
    other = _another_bridge(order) if order else None
    if order is None or other is None:
        return False
    account = Account.objects.lock(order.session.account_id)
    locked = {pk: waiting_line.lock(pk) for pk in sorted({order.bridge_id, other.pk})}
    former, other = locked[order.bridge_id], locked[other.pk]
    session = locks.row(LinkSession, pk=order.session_id)
    if not _still_waits(account, session, order) or choosing.why_not(other):
        return False
    if not start.move([State(order.state)], State.CANCELLED):
        return False
    session.bridge, session.admitted_at = other, waiting_line.admit_now(other, instead_of=None)
    session.save(update_fields=["bridge", "admitted_at"])
    account.note(trigger="line", session=session, reason=f"Nobody listens at {former}: it goes to {other}.")
    account.touch()
    waiting_line.begin(session)
    enqueue("advance_line", former.pk)
    return True


def _another_bridge(order: BridgeOrder) -> Bridge | None:
    """The best of the others that carry out their orders."""
    able = choosing.eligible(order.session.account.workspace)
    others = [bridge for bridge in able if bridge.pk != order.bridge_id and bridge.failing_since is None]
    return min(others, key=choosing.preference, default=None)


def _still_waits(account: Account, session: LinkSession, order: BridgeOrder) -> bool:
    is_here = session.bridge_id == order.bridge_id and session.account_id == account.pk
    no_code = session.is_open and session.first_qr_at is None
    return is_here and no_code and account.status == Status.QR_SCANNING
