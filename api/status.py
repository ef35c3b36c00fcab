"""GET status: a workspace at a glance, in a number of queries that does not grow with its accounts."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from accounts.lifecycle import FIRST_QR_WITHIN, PAIRING, STATUS_AFTER, Status
from accounts.models import Account, AccountNotice, LinkSession, Workspace
from api.health import bridges_of, worker_state


class NoticeRow(TypedDict):
    kind: str
    text: str
    count: int
    since: datetime
    last_at: datetime
    until: datetime | None


class AccountRow(TypedDict):
    account: UUID
    label: str
    phone_number: str | None
    status: str
    status_changed_at: datetime
    session_id: str | None
    last_seen_at: datetime | None
    notices: list[NoticeRow]


# The columns of AccountRow, read as bare values: 3,000 model instances cost more than everything else.
COLUMNS = (
    "uuid",
    "label",
    "phone_number",
    "status",
    "status_changed_at",
    "current_session__session_id",
    "current_session__last_seen_at",
)


def of_workspace(workspace: Workspace) -> dict[str, Any]:
    """Return the fields of `StatusData`. The counts come from the rows that are shown, so the two cannot disagree."""
    lapsed, notices = _lapsed(workspace), _notices(workspace)
    rows = [_row(values, lapsed, notices) for values in workspace.accounts.live().order_by("pk").values_list(*COLUMNS)]
    by_status = Counter(row["status"] for row in rows)
    return {
        "service": {
            "manager": _manager(workspace, by_status),
            "bridges": bridges_of(workspace),
            "database": "up",
            "queue": worker_state(),
        },
        "tenant": {
            "workspace_id": workspace.pk,
            "name": workspace.name,
            "accounts": len(rows),
            "by_status": {status: by_status[status] for status in Status.values},
        },
        "accounts": rows,
    }


def _manager(workspace: Workspace, by_status: Counter[str]) -> dict[str, Any]:
    is_open = LinkSession.objects.filter(account__workspace=workspace, ended_at__isnull=True)
    pairing = is_open.filter(account__status__in=PAIRING).order_by("started_at")
    linked = is_open.filter(account__status=Status.CONNECTED).exclude(device_jid="").order_by("-connected_at")
    is_pairing = any(by_status[status] for status in PAIRING)
    return {
        "isPairing": is_pairing,
        "isPaired": by_status[Status.CONNECTED] > 0,
        "pairingStartTime": pairing.values_list("started_at", flat=True).first() if is_pairing else None,
        "currentDeviceId": linked.values_list("device_jid", flat=True).first(),
        "activeConnections": by_status[Status.CONNECTED],
        "active_sessions": is_open.count(),
    }


def _lapsed(workspace: Workspace) -> dict[UUID, Status]:
    """Return the accounts whose deadline has passed, with the status it gives: right even while no worker runs."""
    now, found = timezone.now(), {}
    # Nothing lapses within its first minute, so few of the running attempts are read as model instances.
    begun = now - timedelta(seconds=FIRST_QR_WITHIN)
    waits = Q(status__in=PAIRING) | Q(status=Status.DISCONNECTED, current_session__connected_at__isnull=True)
    open_ones = workspace.accounts.live().filter(waits, current_session__ended_at__isnull=True)
    for account in open_ones.filter(current_session__started_at__lte=begun).select_related("current_session"):
        deadline = _deadline(account)
        if deadline is not None and deadline[0] <= now:
            found[account.uuid] = STATUS_AFTER[deadline[1]]
    return found


def _deadline(account: Account) -> Any:
    session = account.current_session
    return session.deadline(Status(account.status), account.status_changed_at) if session else None


def _notices(workspace: Workspace) -> dict[UUID, list[NoticeRow]]:
    """Return what else is to be known of accounts: links that flap, and what WhatsApp restricts."""
    found: dict[UUID, list[NoticeRow]] = defaultdict(list)
    current = AccountNotice.objects.current().filter(account__workspace=workspace).order_by("-last_at")
    for uuid, *values in current.values_list("account__uuid", *NoticeRow.__annotations__):
        kind, text, count, since, last_at, until = values
        found[uuid].append(NoticeRow(kind=kind, text=text, count=count, since=since, last_at=last_at, until=until))
    return found


def _row(values: tuple[Any, ...], lapsed: dict[UUID, Status], notices: dict[UUID, list[NoticeRow]]) -> AccountRow:
    uuid, label, phone_number, status, changed, session_id, last_seen = values
    return AccountRow(
        account=uuid,
        label=label,
        phone_number=phone_number,
        status=lapsed.get(uuid, status),
        status_changed_at=changed,
        session_id=session_id,
        last_seen_at=last_seen,
        notices=notices.get(uuid, []),
    )
