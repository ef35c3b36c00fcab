"""What django-q2 runs: each task is one call. All are safe when they run twice, at once, or late."""

from accounts import orders, pairing
from accounts.lifecycle import PAIRING
from accounts.models import Account


def deliver_order(order_id: int) -> None:
    orders.deliver(order_id)


def settle_order(order_id: int) -> None:
    orders.settle(order_id)


def order_failed(order_id: int) -> None:
    pairing.give_up(order_id)


def expire_session(session_pk: int) -> None:
    pairing.expire(session_pk)


def sweep_orders() -> None:
    orders.sweep()


def expire_overdue() -> None:
    """The attempts whose own expiry task was lost."""
    waiting = Account.objects.filter(status__in=PAIRING, current_session__ended_at__isnull=True)
    for session_pk in waiting.order_by("status_changed_at").values_list("current_session_id", flat=True)[:1000]:
        pairing.expire(session_pk)


__all__ = [
    "deliver_order",
    "expire_overdue",
    "expire_session",
    "order_failed",
    "settle_order",
    "sweep_orders",
]
