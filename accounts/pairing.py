"""What people start: a pairing, a new QR code, a reset; and the moment when an attempt lapses."""

from datetime import timedelta
from math import ceil

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import fleet, orders
from accounts.endings import end
from accounts.lifecycle import (
    FIRST_QR_WITHIN,
    PAIRING,
    READY_WITHIN,
    UNSCANNED,
    EndReason,
    Status,
)
from accounts.locking import atomically
from accounts.models import Account, BridgeOrder, LinkSession, User, Workspace
from accounts.models.session import new_session_id
from accounts.queue import enqueue


class PairingRefused(Exception):
    """`code` is stable and for programs, the text is for people, `retry_after` is in seconds where it helps."""

    def __init__(self, code: str, text: str, *, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.retry_after = retry_after


@atomically
def start(
    account_id: int,
    *,
    trigger: str,
    actor: User | None = None,
    reason: str = "",
    force: bool = False,
    may_interrupt: bool = False,
) -> LinkSession:
    """Begin an attempt to link. The order to the bridge is committed with it and goes out afterwards.

    `force` replaces an attempt that waits for its scan; `may_interrupt` (staff) also one that has been scanned.
    Raises PairingRefused: PAIRING_IN_PROGRESS, ALREADY_CONNECTED, TOO_MANY_PAIRINGS, NO_BRIDGE_AVAILABLE,
    ACCOUNT_INACTIVE.
    """
    # The workspace first: the count of placeholders must hold against other accounts' starts, and `ready` takes
    # the same order.
    workspace_id = Account.objects.values_list("workspace_id", flat=True).get(pk=account_id)
    workspace = Workspace.objects.select_for_update().get(pk=workspace_id)
    # Nobody merges under this lock; before it, a merge may have come after the caller's look.
    account = Account.objects.lock(Account.objects.get(pk=account_id).resolve().pk)
    _make_room(account, trigger=trigger, actor=actor, reason=reason, force=force, may_interrupt=may_interrupt)
    _check_placeholders(account)
    try:
        bridge = fleet.choose(workspace)
    except fleet.NoBridgeAvailable as error:
        text = _("Everything is busy at the moment. Try again in half a minute.")
        raise PairingRefused("NO_BRIDGE_AVAILABLE", text, retry_after=30) from error
    session = LinkSession.objects.create(
        session_id=new_session_id(workspace.pk), account=account, bridge=bridge, started_by=actor
    )
    account.current_session = session
    account.touch("current_session")
    account.move(Status.QR_SCANNING, trigger=trigger, session=session, actor=actor, reason=reason)
    orders.order(session, orders.Kind.START)
    enqueue("expire_session", session.pk, delay=FIRST_QR_WITHIN + 1)
    return session


@atomically
def force_reset(account_id: int, *, actor: User | None = None, reason: str = "", trigger: str = "force_reset") -> None:
    """End whatever there is, for good, and revoke the open invitations (rule 11). Safe to ask for twice."""
    account = Account.objects.lock(account_id)
    account.reset_at = timezone.now()
    account.save(update_fields=["reset_at"])
    orders.hurry_stops(account.pk)
    session = account.current_session
    account.invitations.usable().update(revoked_at=timezone.now())
    if session is not None and session.is_open:
        end(session, EndReason.RESET, account=account, trigger=trigger, actor=actor, reason=reason)
    elif account.status == Status.INACTIVE:
        account.note(trigger=trigger, actor=actor, reason=reason)
        account.touch()
    else:
        account.move(Status.INACTIVE, trigger=trigger, session=session, actor=actor, reason=reason)


@atomically
def expire(session_pk: int) -> bool:
    """End the attempt if its deadline has passed. Safe when it runs twice, early or late."""
    account_id = LinkSession.objects.filter(pk=session_pk).values_list("account_id", flat=True).first()
    if account_id is None:
        return False
    account = Account.objects.lock(account_id)
    session = account.current_session
    return session is not None and session.pk == session_pk and lapse(account, session)


def lapse(account: Account, session: LinkSession) -> bool:
    """As `expire`, for a caller that holds the account's lock."""
    deadline = session.deadline(Status(account.status), account.status_changed_at)
    if deadline is None or deadline[0] > timezone.now():
        return False
    end(session, deadline[1], account=account, trigger="deadline")
    return True


def _make_room(
    account: Account, *, trigger: str, actor: User | None, reason: str, force: bool, may_interrupt: bool
) -> None:
    """End what stands in the way of a new attempt, or refuse (the table of `pair` in docs/architecture.md)."""
    if not account.is_active:
        raise PairingRefused("ACCOUNT_INACTIVE", _("This account is switched off. Ask our support."))
    session = account.current_session
    if session is None or not session.is_open or lapse(account, session):
        return
    status = Status(account.status)
    if status == Status.CONNECTED:
        raise PairingRefused("ALREADY_CONNECTED", _("This account is connected. Reset it first to link another phone."))
    if status == Status.DISCONNECTED:
        end(session, EndReason.SUPERSEDED, account=account, trigger=trigger, actor=actor, reason=reason)
    elif force and (status in UNSCANNED or may_interrupt):
        end(session, EndReason.RENEWED, account=account, trigger=trigger, actor=actor, reason=reason)
    else:
        text = _("A pairing is in progress. Scan its QR code, or wait until it ends.")
        raise PairingRefused("PAIRING_IN_PROGRESS", text, retry_after=seconds_left(account, session))


def seconds_left(account: Account, session: LinkSession) -> int:
    """Whole seconds until the attempt lapses, at least one."""
    deadline = session.deadline(Status(account.status), account.status_changed_at)
    return max(1, ceil((deadline[0] - timezone.now()).total_seconds())) if deadline else 1


def _check_placeholders(account: Account) -> None:
    """Rule 5: an anonymous page that is opened again and again must not take every bridge slot."""
    if not account.is_placeholder:
        return
    others = Account.objects.live().filter(workspace=account.workspace_id, phone_number=None, status__in=PAIRING)
    if others.exclude(pk=account.pk).count() >= settings.LINKDESK_MAX_OPEN_PLACEHOLDERS:
        text = _("Too many pairings are waiting for a scan in this workspace. Try again in a minute.")
        raise PairingRefused("TOO_MANY_PAIRINGS", text, retry_after=60)


@atomically
def doubt(account_id: int) -> None:
    """Somebody wants to pair what the record calls connected: ask the bridge whether it still is (rule 0)."""
    account = Account.objects.lock(account_id)
    session = account.current_session
    if session is not None and session.is_open and account.status == Status.CONNECTED:
        orders.ask(session, BridgeOrder.Why.PAIR)


def being_restored(account: Account) -> LinkSession | None:
    """The link that a check found missing at its bridge, while its start is under way."""
    session = account.current_session
    if session is None or not session.is_open or not session.ever_linked or account.status != Status.DISCONNECTED:
        return None
    starts = session.orders.filter(kind=orders.Kind.START, created_at__gt=session.connected_at)
    lately = timezone.now() - timedelta(seconds=READY_WITHIN)  # started, and not ready yet
    under_way = Q(state__in=BridgeOrder.UNDER_WAY) | Q(state=BridgeOrder.State.CONFIRMED, created_at__gt=lately)
    return session if starts.filter(under_way).exists() else None


@atomically
def give_up(order_id: int) -> None:
    """A bridge refused an order for good: an attempt that still waits for its first sign of life fails now."""
    order = BridgeOrder.objects.filter(pk=order_id, kind=orders.Kind.START).first()
    if order is None:
        return
    account = Account.objects.lock(order.session.account_id)
    session = account.current_session
    waits = session is not None and session.pk == order.session_id and session.is_open
    if session is not None and waits and account.status == Status.QR_SCANNING and session.first_qr_at is None:
        end(session, EndReason.BRIDGE_UNAVAILABLE, account=account, trigger="order_failed", detail=order.error)
