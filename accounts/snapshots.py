"""What a watcher of an account sees: the linking page, the admin's live panel, the operator API."""

from datetime import datetime
from enum import StrEnum
from typing import TypedDict

from django.utils import timezone

from accounts import failures, phones
from accounts.lifecycle import STATUS_AFTER, EndReason, Status
from accounts.models import Account, LinkSession
from accounts.pairing import waiting_line


class View(StrEnum):
    """The faces of the linking page."""

    IDLE = "idle"
    WAITING = "waiting"
    PREPARING = "preparing"
    SCAN = "scan"
    ACTION = "action"
    FINISHING = "finishing"
    LINKED = "linked"
    RECONNECTING = "reconnecting"
    EXPIRED = "expired"
    WRONG_NUMBER = "wrong_number"
    REMOVED = "removed"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


class Snapshot(TypedDict):
    version: int
    account: str  # uuid
    status: Status
    view: View
    reason: str  # EndReason of what went wrong, or empty
    said: str  # by the bridge, where that tells more: a key of failures.BRIDGE_REASONS
    session_id: str
    place: int  # in the line before the bridge; 1: next, 0: not in line
    expires_in: float | None  # seconds until the attempt lapses
    qr_svg: str
    qr_png: bool  # there is a QR code, but only as an image
    qr_expires_in: float | None  # seconds until the code shown now is no longer good
    qr_count: int
    pairing_code: str
    can_ask_code: bool  # a code to type instead of the QR code
    action_message: str
    phone: str  # masked
    devices_left: int


_VIEWS = {
    Status.INACTIVE: View.IDLE,
    Status.ACTION_REQUIRED: View.ACTION,
    Status.AUTHENTICATED: View.FINISHING,
    Status.CONNECTED: View.LINKED,
    Status.DISCONNECTED: View.RECONNECTING,
    Status.QR_EXPIRED: View.EXPIRED,
    Status.LOGGED_OUT: View.REMOVED,
}
_FAILED_VIEWS = {
    EndReason.BRIDGE_UNAVAILABLE: View.UNAVAILABLE,
    EndReason.WRONG_NUMBER: View.WRONG_NUMBER,
}


def take(account_id: int) -> Snapshot:
    """The account as it is now; one that was merged is shown as the account it lives on as.

    A deadline that has passed counts, whether or not the worker has got round to it: reading writes nothing.
    Raises Account.DoesNotExist.
    """
    account = Account.objects.select_related("current_session__bridge", "merged_into").get(pk=account_id).resolve()
    session = account.current_session
    now = timezone.now()
    status, reason, expires_in = _derive(account, session, now)
    shows_qr = session is not None and status == Status.QR_SCANNING and _is_fresh(session.qr_expires_at, now)
    shows_code = (
        session is not None and status == Status.QR_SCANNING and _is_fresh(session.pairing_code_expires_at, now)
    )
    place = waiting_line.place_of(session) if session is not None and status == Status.QR_SCANNING else 0
    return Snapshot(
        version=account.version,
        account=str(account.uuid),
        status=status,
        view=_view(status, reason, shows_qr=shows_qr, waits=place > 0),
        reason=reason,
        said=failures.word_for(EndReason(reason), session.end_detail) if session and reason else "",
        session_id=session.session_id if session else "",
        place=place,
        expires_in=expires_in,
        qr_svg=session.qr_svg if session and shows_qr else "",
        qr_png=bool(session and shows_qr and session.qr_png),
        qr_expires_in=_seconds_until(session.qr_expires_at, now) if session and shows_qr else None,
        qr_count=session.qr_count if session else 0,
        pairing_code=session.pairing_code if session and shows_code else "",
        can_ask_code=session is not None and shows_qr and not shows_code and session.bridge.offers_codes,
        action_message=session.action_message if session and status == Status.ACTION_REQUIRED else "",
        phone=phones.mask(account.phone_number),
        devices_left=account.devices_left() if status in {Status.FAILED, Status.INACTIVE, Status.LOGGED_OUT} else 0,
    )


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


def _seconds_until(moment: datetime | None, now: datetime) -> float | None:
    return round((moment - now).total_seconds(), 1) if moment else None


def _is_fresh(until: datetime | None, now: datetime) -> bool:
    return until is not None and until > now


def _view(status: Status, reason: str, *, shows_qr: bool, waits: bool) -> View:
    if status == Status.QR_SCANNING and waits:
        return View.WAITING
    if status == Status.QR_SCANNING:
        return View.SCAN if shows_qr else View.PREPARING
    if status == Status.FAILED:
        return _FAILED_VIEWS.get(EndReason(reason), View.FAILED) if reason else View.FAILED
    return _VIEWS[status]
