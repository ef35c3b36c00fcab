"""What django-q2 runs: each task is one call. All are safe when they run twice, at once, or late."""

from django.db.models import Q

from accounts import cleanup, delivery, pairing
from accounts.lifecycle import PAIRING, Status
from accounts.models import Account


def deliver_order(order_id: int) -> None:
    delivery.deliver(order_id)


def settle_order(order_id: int) -> None:
    delivery.settle(order_id)


def order_failed(order_id: int) -> None:
    pairing.give_up(order_id)


def expire_session(session_pk: int) -> None:
    pairing.expire(session_pk)


def sweep_orders() -> None:
    delivery.sweep()


def expire_overdue() -> None:
    """The attempts whose own expiry task was lost."""
    scanned_only = Q(status=Status.DISCONNECTED, current_session__connected_at__isnull=True)
    open_ones = Account.objects.filter(current_session__ended_at__isnull=True)
    waiting = open_ones.filter(scanned_only | Q(status__in=PAIRING))
    for session_pk in waiting.order_by("status_changed_at").values_list("current_session_id", flat=True)[:1000]:
        pairing.expire(session_pk)


def clean_up() -> None:
    cleanup.clean_on_schedule()
