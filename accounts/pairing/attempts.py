"""Attempts that people start: a pairing, a new QR code, a reset; and how an attempt lapses."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Flag, auto
from math import ceil

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.bridges import choosing
from accounts.db import locks
from accounts.db.transactions import atomically, patiently
from accounts.lifecycle import PAIRING, READY_WITHIN, UNSCANNED, EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, User, Workspace
from accounts.models.session import new_session_id
from accounts.orders import outbox
from accounts.pairing import cooldown, no_bridge, waiting_line
from accounts.pairing.session_end import end


class PairingRefused(Exception):
    """`code` is stable and for programs, the text is for people, `retry_after` is in seconds where it helps, `obstacle`
    tells why no bridge could take the attempt."""

    def __init__(self, code: str, text: str, *, retry_after: int | None = None, obstacle: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.retry_after = retry_after
        self.obstacle = obstacle


class May(Flag):
    """Obstacles that the person who asks for an attempt may override; any other obstacle refuses it."""

    NOTHING = 0
    RENEW = auto()  # end an attempt that waits for its scan
    INTERRUPT = auto()  # end any attempt, also a scanned one and in its quiet time (rule "Quiet time"); for staff
    LEAVE_LINE = auto()  # give up a place in the waiting line, and begin at its end
    SKIP_COOLDOWN = auto()  # rule "Cooldown"
    OVERRIDE = INTERRUPT | LEAVE_LINE | SKIP_COOLDOWN


@dataclass(frozen=True)
class Request:
    """A request for an attempt: by whom, and why. Raises ValueError if it overrides without an actor or a reason."""

    trigger: str
    actor: User | None = None
    reason: str = ""
    may: May = May.NOTHING

    def __post_init__(self) -> None:
        overrides = bool(self.may & (May.LEAVE_LINE | May.SKIP_COOLDOWN))
        if overrides and (self.actor is None or not self.reason.strip()):
            raise ValueError("An override says who takes the risk, and why.")


@no_bridge.noted
@patiently
def start(
    account_id: int,
    *,
    trigger: str,
    actor: User | None = None,
    reason: str = "",
    may: May = May.NOTHING,
    bridge: Bridge | None = None,
) -> LinkSession:
    """Begin an attempt to link, or let it wait in its bridge's waiting line (`waits_in_line`).

    It runs on `bridge`, which the caller has checked, or the best one; the order is committed with the attempt and goes
    out afterwards. To leave the line or skip the cooldown is a risk (cooldown.risk_of), which needs `actor` and
    `reason`: ValueError without them. Raises PairingRefused: PAIRING_IN_PROGRESS, PAIRING_COOLDOWN, ALREADY_CONNECTED,
    TOO_MANY_PAIRINGS, NO_BRIDGE_AVAILABLE, ACCOUNT_INACTIVE.
    """
    request = Request(trigger, actor, reason, may)
    # The workspace's lock keeps the count of placeholders right while other accounts start.
    workspace, account = _lock_with_workspace(account_id)
    replaced = _make_room(account, request)
    _check_placeholders(account)
    _check_cooldown(account, request)
    bridge = waiting_line.lock(bridge.pk) if bridge else _choose_and_lock(workspace)
    session = LinkSession.objects.create(
        session_id=new_session_id(workspace.pk),
        account=account,
        bridge=bridge,
        started_by=actor,
        admitted_at=waiting_line.admit_now(bridge, instead_of=replaced),
    )
    account.current_session = session
    account.touch("current_session")
    account.move(Status.QR_SCANNING, trigger=trigger, session=session, actor=actor, reason=reason)
    waiting_line.begin(session)
    return session


@patiently
def force_reset(account_id: int, *, actor: User | None = None, reason: str = "", trigger: str = "force_reset") -> None:
    """End the open session for good, and revoke the open invitations (rule "Replaced or reset"). Safe to repeat.

    If a `ready` is just merging the account, the one that lives on is reset: it has the session now.
    """
    _, account = _lock_with_workspace(account_id)
    account.reset_at = timezone.now()
    account.save(update_fields=["reset_at"])
    outbox.hurry_stops(account.pk)
    session = account.current_session
    account.invitations.usable().update(revoked_at=timezone.now())
    if session is not None and session.is_open:
        end(session, EndReason.RESET, account=account, trigger=trigger, actor=actor, reason=reason)
    elif account.status == Status.INACTIVE:
        account.note(trigger=trigger, actor=actor, reason=reason)
        account.touch()
    else:
        account.move(Status.INACTIVE, trigger=trigger, session=session, actor=actor, reason=reason)


def _lock_with_workspace(account_id: int) -> tuple[Workspace, Account]:
    """Lock the workspace first, as `ready` does: nobody merges under its lock. If a merge came before it, the account
    is the one that lives on."""
    workspace_id = Account.objects.values_list("workspace_id", flat=True).get(pk=account_id)
    workspace = locks.row_in_turn(Workspace, pk=workspace_id)
    return workspace, Account.objects.lock(Account.objects.get(pk=account_id).resolve().pk)


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
    """Do as `expire`, for a caller that holds the account's lock."""
    deadline = session.deadline(Status(account.status), account.status_changed_at)
    if deadline is None or deadline[0] > timezone.now():
        return False
    end(session, deadline[1], account=account, trigger="deadline")
    return True


def _make_room(account: Account, request: Request) -> LinkSession | None:
    """End the open session before a new attempt, or refuse (the table in docs/rules.md).

    Gives the session that was ended.
    """
    if not account.is_active:
        raise PairingRefused("ACCOUNT_INACTIVE", _("This account is switched off. Ask our support."))
    session = account.current_session
    if session is None or not session.is_open:
        return None
    waiting_line.lock(session.bridge_id)
    if lapse(account, session):
        return session
    status = Status(account.status)
    _check_line(account, session, request)
    _check_quiet(account, session, request)
    if status == Status.CONNECTED:
        raise PairingRefused("ALREADY_CONNECTED", _("This account is connected. Reset it first to link another phone."))
    why = EndReason.SUPERSEDED if status == Status.DISCONNECTED else EndReason.RENEWED
    end(session, why, account=account, trigger=request.trigger, actor=request.actor, reason=request.reason)
    return session


def _check_line(account: Account, session: LinkSession, request: Request) -> None:
    """Refuse while it waits in line: it has no code to replace yet, and a new attempt would go to the line's end."""
    if session.waits_in_line and May.LEAVE_LINE not in request.may:
        text = waiting_line.place_in_words(session)
        raise PairingRefused("PAIRING_IN_PROGRESS", text, retry_after=seconds_left(account, session))


def _check_quiet(account: Account, session: LinkSession, request: Request) -> None:
    """Refuse while an attempt runs or was just scanned, and say until when (rules "One place" and "Quiet time")."""
    if May.INTERRUPT in request.may:
        return
    if session.waits_for_its_number:
        return _check_number(request)
    status = Status(account.status)
    waits: int | None = None
    if status == Status.AUTHENTICATED or (status in UNSCANNED and May.RENEW not in request.may):
        waits = seconds_left(account, session)
    elif session.is_quiet:
        lapses = session.deadline(status, account.status_changed_at) is not None
        quiet = cooldown.quiet_left(session)
        waits = min(quiet, seconds_left(account, session)) if lapses else quiet
    if waits is not None:
        text = _("A pairing is in progress. Scan its QR code, or wait until it ends.")
        raise PairingRefused("PAIRING_IN_PROGRESS", text, retry_after=waits)


def _check_number(request: Request) -> None:
    """A phone has scanned whose number nobody knows: it waits for staff, unless somebody begins anew."""
    if May.RENEW not in request.may:
        text = _("The code was scanned. The number of that phone is being checked.")
        raise PairingRefused("PAIRING_IN_PROGRESS", text, retry_after=60)


def _check_cooldown(account: Account, request: Request) -> None:
    waits = cooldown.cooldown_left(account)
    if waits and May.SKIP_COOLDOWN in request.may:
        account.note(trigger="cooldown_overridden", actor=request.actor, reason=request.reason)
    elif waits:
        text = ngettext(
            "Too many attempts have failed. Try again in a minute.",
            "Too many attempts have failed. Try again in %(minutes)s minutes.",
            minutes := ceil(waits / 60),
        )
        raise PairingRefused("PAIRING_COOLDOWN", text % {"minutes": minutes}, retry_after=waits)


def _choose_and_lock(workspace: Workspace) -> Bridge:
    """Lock the best bridge. If another workspace's start took its last place before that, take the next best."""
    while True:
        bridge = waiting_line.lock(_choose(workspace).pk)
        if not choosing.why_not(bridge):
            return bridge


def _choose(workspace: Workspace) -> Bridge:
    try:
        return choosing.choose(workspace)
    except choosing.NoBridgeAvailable as error:
        raise PairingRefused("NO_BRIDGE_AVAILABLE", error.in_words(), retry_after=30, obstacle=error.reason) from error


def seconds_left(account: Account, session: LinkSession) -> int:
    """Whole seconds until the attempt lapses, at least one."""
    return max(1, _left(account, session))


def _left(account: Account, session: LinkSession) -> int:
    """The same as `seconds_left`, but 0 or less if it has lapsed, or never will."""
    deadline = session.deadline(Status(account.status), account.status_changed_at)
    return ceil((deadline[0] - timezone.now()).total_seconds()) if deadline else 0


def _check_placeholders(account: Account) -> None:
    """Refuse a placeholder if there are too many: opening an anonymous page again and again must not take every place
    (rule "One place").

    Attempts that have lapsed do not count, even if the worker has not ended them yet.
    """
    if not account.is_placeholder:
        return
    others = Account.objects.live().filter(workspace=account.workspace_id, phone_number=None, status__in=PAIRING)
    sessions = LinkSession.objects.filter(ended_at__isnull=True, account__in=others.exclude(pk=account.pk))
    lefts = (_left(session.account, session) for session in sessions.select_related("account"))
    longest_first = sorted((left for left in lefts if left > 0), reverse=True)
    allowed = settings.LINKDESK_MAX_OPEN_PLACEHOLDERS
    if len(longest_first) < allowed:
        return
    waits = longest_first[allowed - 1] if longest_first else 60  # until one fewer than allowed is left
    text = ngettext(
        "Too many pairings are waiting for a scan in this workspace. Try again in a minute.",
        "Too many pairings are waiting for a scan in this workspace. Try again in %(minutes)s minutes.",
        minutes := ceil(waits / 60),
    )
    raise PairingRefused("TOO_MANY_PAIRINGS", text % {"minutes": minutes}, retry_after=waits)


@atomically
def doubt(account_id: int) -> None:
    """Ask the bridge about a connected account that somebody wants to pair (rule "Ask the bridge")."""
    account = Account.objects.lock(account_id)
    session = account.current_session
    if session is not None and session.is_open and account.status == Status.CONNECTED:
        outbox.ask(session, BridgeOrder.Why.PAIR)


def being_restored(account: Account) -> LinkSession | None:
    """The link that a check found missing at its bridge, while its start is under way."""
    session = account.current_session
    if session is None or not session.is_open or not session.ever_linked or account.status != Status.DISCONNECTED:
        return None
    starts = session.orders.filter(kind=outbox.Kind.START, created_at__gt=session.connected_at)
    lately = timezone.now() - timedelta(seconds=READY_WITHIN)  # started, and not ready yet
    under_way = Q(state__in=BridgeOrder.UNDER_WAY) | Q(state=BridgeOrder.State.CONFIRMED, created_at__gt=lately)
    return session if starts.filter(under_way).exists() else None


@atomically
def give_up(order_id: int) -> None:
    """A bridge refused an order for good: if it is the start of an attempt without a code yet, end the attempt now."""
    order = BridgeOrder.objects.filter(pk=order_id, kind=outbox.Kind.START).first()
    if order is None:
        return
    account = Account.objects.lock(order.session.account_id)
    session = account.current_session
    waits = session is not None and session.pk == order.session_id and session.is_open
    if session is not None and waits and account.status == Status.QR_SCANNING and session.first_qr_at is None:
        end(session, EndReason.BRIDGE_UNAVAILABLE, account=account, trigger="order_failed", detail=order.error)
