"""Snapshots of an account, for its watchers: the linking page, the admin's live panel, the operator API."""

from datetime import datetime
from enum import StrEnum
from typing import TypedDict

from django.utils import timezone

from accounts import failures, phones
from accounts.lifecycle import STATUS_AFTER, EndReason, Status
from accounts.models import Account, LinkSession
from accounts.pairing import waiting_line


class View(StrEnum):
    """The views of the linking page."""

    IDLE = "idle"
    WAITING = "waiting"
    PREPARING = "preparing"
    SCAN = "scan"
    ACTION = "action"
    FINISHING = "finishing"
    CHECKING = "checking"
    LINKED = "linked"
    RECONNECTING = "reconnecting"
    EXPIRED = "expired"
    WRONG_NUMBER = "wrong_number"
    REMOVED = "removed"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


class Code(TypedDict):
    """The code that is to be scanned or typed."""

    qr_svg: str
    qr_png: bool  # there is a QR code, but only as an image
    qr_expires_in: float | None  # seconds until the code shown now is no longer good; None: none is shown
    pairing_code: str
    can_ask_code: bool  # a code to type instead of the QR code


class Attempt(Code):
    """The part of a snapshot that is about the account's session."""

    said: str  # by the bridge, where that tells more: a key of failures.BRIDGE_REASONS
    session_id: str
    place: int  # in its bridge's waiting line; 1: next, 0: not in line
    qr_count: int
    action_message: str


class Snapshot(Attempt):
    version: int
    account: str  # uuid
    status: Status
    view: View
    reason: str  # EndReason of what went wrong, or empty
    expires_in: float | None  # seconds until the attempt lapses
    phone: str  # masked
    devices_left: int


NO_CODE = Code(qr_svg="", qr_png=False, qr_expires_in=None, pairing_code="", can_ask_code=False)
NO_ATTEMPT = Attempt(**NO_CODE, said="", session_id="", place=0, qr_count=0, action_message="")
_VIEWS = {
    Status.INACTIVE: View.IDLE,
    Status.ACTION_REQUIRED: View.ACTION,
    Status.AUTHENTICATED: View.FINISHING,
    Status.CONNECTED: View.LINKED,
    Status.DISCONNECTED: View.RECONNECTING,
    Status.QR_EXPIRED: View.EXPIRED,
    Status.LOGGED_OUT: View.REMOVED,
}
# The statuses in which a device of ours may be left on the phone, and no other one is being linked.
_MAY_LEAVE_DEVICES = frozenset({Status.FAILED, Status.INACTIVE, Status.LOGGED_OUT})
_FAILED_VIEWS = {
    EndReason.BRIDGE_UNAVAILABLE: View.UNAVAILABLE,
    EndReason.WRONG_NUMBER: View.WRONG_NUMBER,
}


def take(account_id: int) -> Snapshot:
    """The account as it is now; one that was merged is shown as the account it lives on as.

    A deadline that has passed counts, even if the worker has not ended the session yet. Nothing is written.
    Raises Account.DoesNotExist.
    """
    account = Account.objects.select_related("current_session__bridge", "merged_into").get(pk=account_id).resolve()
    session = account.current_session
    now = timezone.now()
    status, reason, expires_in = _derive(account, session, now)
    shown = _attempt(session, status, reason, now) if session else NO_ATTEMPT
    return Snapshot(
        **shown,
        version=account.version,
        account=str(account.uuid),
        status=status,
        view=View.CHECKING if session and session.waits_for_its_number else _view(status, reason, shown),
        reason=reason,
        expires_in=expires_in,
        phone=phones.mask(account.phone_number),
        devices_left=account.devices_left() if status in _MAY_LEAVE_DEVICES else 0,
    )


def _attempt(session: LinkSession, status: Status, reason: str, now: datetime) -> Attempt:
    scans = status == Status.QR_SCANNING
    code = _code(session, now) if scans else NO_CODE
    return Attempt(
        **code,
        said=failures.word_for(EndReason(reason), session.end_detail) if reason else "",
        session_id=session.session_id,
        place=waiting_line.place_of(session) if scans else 0,
        qr_count=session.qr_count,
        action_message=session.action_message if status == Status.ACTION_REQUIRED else "",
    )


def _code(session: LinkSession, now: datetime) -> Code:
    """The code to show; one that has expired is not shown."""
    code, left = NO_CODE.copy(), _seconds_left(session.qr_expires_at, now)
    is_typed = _seconds_left(session.pairing_code_expires_at, now) is not None
    if is_typed:
        code["pairing_code"] = session.pairing_code
    if left is not None:
        code["qr_svg"], code["qr_png"], code["qr_expires_in"] = session.qr_svg, bool(session.qr_png), left
        code["can_ask_code"] = not is_typed and session.bridge.offers_codes
    return code


def _derive(account: Account, session: LinkSession | None, now: datetime) -> tuple[Status, str, float | None]:
    """Status, end reason and seconds left, with the deadline taken into account."""
    status = Status(account.status)
    if session is None:
        return status, "", None
    deadline = session.deadline(status, account.status_changed_at)
    if deadline is None:
        return status, session.end_reason, None
    left = (deadline[0] - now).total_seconds()
    if left <= 0:
        return STATUS_AFTER[deadline[1]], deadline[1], None
    return status, "", round(left, 1)


def _seconds_left(until: datetime | None, now: datetime) -> float | None:
    return round((until - now).total_seconds(), 1) if until and until > now else None


def _view(status: Status, reason: str, shown: Attempt) -> View:
    if shown["place"]:
        return View.WAITING
    if status == Status.QR_SCANNING:
        return View.PREPARING if shown["qr_expires_in"] is None else View.SCAN
    if status == Status.FAILED:
        return _FAILED_VIEWS.get(EndReason(reason), View.FAILED) if reason else View.FAILED
    return _VIEWS[status]
