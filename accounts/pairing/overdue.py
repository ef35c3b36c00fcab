"""Finds attempts that have outlived their deadline, in one query: who is not overdue costs nothing more."""

from django.db.models import Q
from django.utils import timezone

from accounts.lifecycle import PAIRING, Status
from accounts.models import Account, LinkSession


def find() -> list[int]:
    """Open sessions whose attempt is overdue, the longest first. `attempts.expire` looks again, under the lock."""
    scanned_only = Q(status=Status.DISCONNECTED, current_session__connected_at__isnull=True)
    waiting = Account.objects.filter(scanned_only | Q(status__in=PAIRING), current_session__ended_at__isnull=True)
    rows = waiting.select_related("current_session").defer("current_session__qr_svg", "current_session__qr_png")
    pairs = [(account, account.current_session) for account in rows.order_by("status_changed_at")]
    return [session.pk for account, session in pairs if session is not None and _is_overdue(account, session)]


def _is_overdue(account: Account, session: LinkSession) -> bool:
    deadline = session.deadline(Status(account.status), account.status_changed_at)
    return deadline is not None and deadline[0] <= timezone.now()
