"""The waiting line of a bridge that serves as many pairings as it may (rule "One place").

An attempt that waits in line is an open session with no `admitted_at`: nothing is ordered for it yet. Who else could
be there: other starts on the bridge, two runs of `advance`, the deadline, a reset. The bridge's row is the lock.
"""

from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.bridges import choosing, presence
from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.jobs.row_by_row import safely
from accounts.lifecycle import (
    FIRST_QR_WITHIN,
    LINE_WITHIN,
    PAIRING,
    EndReason,
    Status,
)
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.orders import outbox

AT_ONCE = 200  # sessions in one run


# --- the line -------------------------------------------------------------------------------------
def lock(bridge_id: int) -> Bridge:
    """Lock the bridge: after the account, and before a session of it ends or begins, or anything is ordered there.

    MariaDB takes a shared lock on the bridge for each of these; two transactions that lock it after that deadlock.
    """
    return locks.row(Bridge, pk=bridge_id)


def in_line() -> QuerySet[LinkSession]:
    return LinkSession.objects.filter(ended_at__isnull=True, admitted_at__isnull=True).order_by("pk")


def place_of(session: LinkSession) -> int:
    """Its place in the waiting line; 1: next, 0: it does not wait."""
    if not session.waits_in_line:
        return 0
    return in_line().filter(bridge=session.bridge_id, pk__lt=session.pk).count() + 1


def place_in_words(session: LinkSession) -> str:
    text = _("It waits for its turn: place %(place)d in line. Its QR code comes by itself.")
    return text % {"place": place_of(session)}


def admit_now(bridge: Bridge, *, instead_of: LinkSession | None) -> datetime | None:
    """The time of admission of an attempt that starts now; None: it waits in line. The caller has locked the bridge."""
    if instead_of is not None and _leaves_its_place(instead_of, bridge):
        return timezone.now()
    if not has_room(bridge):
        return None
    if in_line().filter(bridge=bridge).exists():  # a place is free, but the next in line is not admitted yet
        enqueue("advance_line", bridge.pk)
        return None
    return timezone.now()


def has_room(bridge: Bridge) -> bool:
    return _taken(bridge) < bridge.pairings_at_once


def _taken(bridge: Bridge) -> int:
    """Places taken by sessions that pair, or that ended softly and are not stopped yet (rule "Soft ends")."""
    pairing = LinkSession.objects.filter(
        bridge=bridge, ended_at__isnull=True, account__status__in=PAIRING, number_unclear_at__isnull=True
    )
    return pairing.filter(admitted_at__isnull=False).count() + choosing.leaving().filter(bridge=bridge).count()


def _leaves_its_place(ended: LinkSession, bridge: Bridge) -> bool:
    """Whether a new QR code takes the place of the one that it replaces, and runs beside it until that is stopped. Only
    one may: renewing again and again would make as many clients there.
    """
    had_a_place = ended.admitted_at is not None and ended.bridge_id == bridge.pk
    return had_a_place and ended.end_reason == EndReason.RENEWED and not _leaves_more(bridge, ended)


def _leaves_more(bridge: Bridge, ended: LinkSession) -> bool:
    """Whether the account has a session there, other than `ended`, that is still being stopped."""
    others = choosing.leaving().filter(bridge=bridge, account=ended.account_id).exclude(pk=ended.pk)
    return others.exists()


def begin(session: LinkSession) -> None:
    """Order the start or let it wait, and set its expiry either way. The caller holds the bridge's lock."""
    if session.waits_in_line:
        enqueue("expire_session", session.pk, delay=LINE_WITHIN + 1)
    else:
        outbox.order(session, outbox.Kind.START)
        enqueue("expire_session", session.pk, delay=FIRST_QR_WITHIN + 1)


def asks_for_its_turn(start: BridgeOrder) -> None:
    """Begin the minute for the first code anew, when its start goes out or must wait for others' starts.

    This ends after LINE_WITHIN, as the waiting line does. The caller has locked the session.
    """
    now = timezone.now()
    waiting = LinkSession.objects.filter(pk=start.session_id, first_qr_at__isnull=True, admitted_at__isnull=False)
    waiting.filter(started_at__gt=now - timedelta(seconds=LINE_WITHIN)).update(admitted_at=now)


def advance(bridge_id: int) -> int:
    """Admit the first attempts in line while there is room; gives how many. Safe when it runs twice at once.

    Attempts at a bridge that takes nothing new are moved to another one.
    """
    advanced = 0
    for pk in list(in_line().filter(bridge=bridge_id).values_list("pk", flat=True)[:AT_ONCE]):
        bridge = Bridge.objects.get(pk=bridge_id)
        if not _takes_more(bridge):
            advanced += bool(safely(_send_elsewhere, pk))
        elif has_room(bridge):
            advanced += bool(safely(_admit, pk))
        else:
            break
    return advanced


def tell_those_in_line(bridge_id: int) -> None:
    """Tell the watchers of waiting attempts that their place has changed."""
    for account_id in list(in_line().filter(bridge=bridge_id).values_list("account_id", flat=True)[:AT_ONCE]):
        safely(_touch, account_id)


def sweep() -> int:
    """Advance waiting lines whose own task was lost; gives how many attempts were admitted."""
    bridges = list(in_line().order_by("bridge").values_list("bridge", flat=True).distinct()[:AT_ONCE])
    return sum(safely(_sweep, bridge_id) or 0 for bridge_id in bridges)


def _sweep(bridge_id: int) -> int:
    admitted = advance(bridge_id)
    if admitted:
        tell_those_in_line(bridge_id)
    return admitted


@atomically
def _admit(session_pk: int) -> bool:
    account = Account.objects.lock(LinkSession.objects.values_list("account_id", flat=True).get(pk=session_pk))
    bridge_id = LinkSession.objects.values_list("bridge_id", flat=True).get(pk=session_pk)
    bridge = lock(bridge_id)
    session = locks.row(LinkSession, pk=session_pk)
    if not _waits_still(account, session, bridge) or not _takes_more(bridge) or not has_room(bridge):
        return False
    session.admitted_at = timezone.now()
    session.save(update_fields=["admitted_at"])
    begin(session)
    account.touch()
    return True


@atomically
def _send_elsewhere(session_pk: int) -> bool:
    """Move it to another bridge, for nothing was ordered yet; it keeps its age, and so a good place there."""
    waiting = LinkSession.objects.select_related("account__workspace").get(pk=session_pk)
    try:
        other_id = choosing.choose(waiting.account.workspace).pk
    except choosing.NoBridgeAvailable:
        return False
    account = Account.objects.lock(waiting.account_id)
    locked = {pk: lock(pk) for pk in sorted({waiting.bridge_id, other_id})}
    session = locks.row(LinkSession, pk=session_pk)
    former, other = locked[waiting.bridge_id], locked[other_id]
    if not _waits_still(account, session, former) or _takes_more(former) or choosing.why_not(other):
        return False  # the next run looks anew
    session.bridge = other
    session.save(update_fields=["bridge"])
    account.note(trigger="line", session=session, reason=f"{former} takes nothing new: it waits for {other}.")
    account.touch()
    enqueue("advance_line", other.pk)
    return True


def _waits_still(account: Account, session: LinkSession, bridge: Bridge) -> bool:
    deadline = session.deadline(Status(account.status), account.status_changed_at)
    has_lapsed = deadline is None or deadline[0] <= timezone.now()
    return session.waits_in_line and session.bridge_id == bridge.pk and not has_lapsed


def _takes_more(bridge: Bridge) -> bool:
    return presence.is_up(bridge) and not bridge.is_draining


@atomically
def _touch(account_id: int) -> None:
    Account.objects.lock(account_id).touch()
