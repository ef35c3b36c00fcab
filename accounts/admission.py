"""Who may start now: quiet time (rule 7), cooldown (rule 8), and the line before a bridge that is pairing enough.

An attempt that waits in line is an open session with no `admitted_at`: nothing is ordered for it yet. Who else could
be there: other starts on the bridge, two runs of `advance`, the deadline, a reset. The bridge's row is the lock.
"""

from datetime import datetime, timedelta
from math import ceil

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import failures, fleet, orders
from accounts.failures import Fault
from accounts.lifecycle import (
    FIRST_QR_WITHIN,
    LINE_WITHIN,
    PAIRING,
    PROVEN_AFTER,
    STATUS_AFTER,
    EndReason,
    Status,
)
from accounts.locking import atomically
from accounts.models import Account, Bridge, BridgeOrder, LinkSession
from accounts.queue import enqueue
from accounts.sweeps import safely

AT_ONCE = 200  # sessions in one run
FAILURES_ALLOWED = 5  # rule 8: in an hour; WhatsApp takes more for an attack
COOLDOWN = timedelta(hours=1)
OUTAGE = timedelta(minutes=15)  # in which nobody anywhere could link
OUTAGE_ACCOUNTS = 3  # fewer may be a coincidence
FAILED = frozenset(why for why, status in STATUS_AFTER.items() if status in {Status.FAILED, Status.LOGGED_OUT})


# --- the line -------------------------------------------------------------------------------------
def lock(bridge_id: int) -> Bridge:
    """After the account, and before a session of the bridge ends or begins, or anything is ordered there.

    MariaDB takes a shared lock on the bridge for each of these: two that then want it for themselves deadlock.
    """
    return Bridge.objects.select_for_update().get(pk=bridge_id)


def in_line() -> QuerySet[LinkSession]:
    return LinkSession.objects.filter(ended_at__isnull=True, admitted_at__isnull=True).order_by("pk")


def place_of(session: LinkSession) -> int:
    """1: next; 0: it does not wait."""
    if not session.waits_in_line:
        return 0
    return in_line().filter(bridge=session.bridge_id, pk__lt=session.pk).count() + 1


def place_in_words(session: LinkSession) -> str:
    text = _("It waits for its turn: place %(place)d in line. Its QR code comes by itself.")
    return text % {"place": place_of(session)}


def admit_now(bridge: Bridge, *, instead_of: LinkSession | None) -> datetime | None:
    """When an attempt is admitted that starts now: at once, or it waits in line. The caller has locked the bridge.

    A new QR code keeps the place of the one that it replaces, and runs beside it until that is stopped. But one only:
    whoever renews again and again would have as many clients there.
    """
    had_a_place = instead_of is not None and instead_of.admitted_at is not None and instead_of.bridge_id == bridge.pk
    renews = had_a_place and instead_of is not None and instead_of.end_reason == EndReason.RENEWED
    if renews and instead_of is not None and not _leaves_more(bridge, instead_of):
        return timezone.now()
    if not has_room(bridge):
        return None
    if in_line().filter(bridge=bridge).exists():  # a place was freed, and nobody has called the next one yet
        enqueue("advance_line", bridge.pk)
        return None
    return timezone.now()


def has_room(bridge: Bridge) -> bool:
    return _taken(bridge) < bridge.pairings_at_once


def _taken(bridge: Bridge) -> int:
    """Places: of those that pair, and of those that ended softly and live there until they are stopped (rule 6)."""
    pairing = LinkSession.objects.filter(bridge=bridge, ended_at__isnull=True, account__status__in=PAIRING)
    return pairing.filter(admitted_at__isnull=False).count() + fleet.leaving().filter(bridge=bridge).count()


def _leaves_more(bridge: Bridge, ended: LinkSession) -> bool:
    """Whether the account of what has just ended has another one there that is still being stopped."""
    others = fleet.leaving().filter(bridge=bridge, account=ended.account_id).exclude(pk=ended.pk)
    return others.exists()


def begin(session: LinkSession) -> None:
    """Order the start, or let it wait; either way it lapses. The caller holds the bridge's lock."""
    if session.waits_in_line:
        enqueue("expire_session", session.pk, delay=LINE_WITHIN + 1)
    else:
        orders.order(session, orders.Kind.START)
        enqueue("expire_session", session.pk, delay=FIRST_QR_WITHIN + 1)


def asks_for_its_turn(start: BridgeOrder) -> None:
    """The minute for the first code begins anew while its bridge is busy with others' starts, and as it goes out.

    The caller has locked the session. Nobody waits for longer than in line.
    """
    now = timezone.now()
    waiting = LinkSession.objects.filter(pk=start.session_id, first_qr_at__isnull=True, admitted_at__isnull=False)
    waiting.filter(started_at__gt=now - timedelta(seconds=LINE_WITHIN)).update(admitted_at=now)


def advance(bridge_id: int) -> int:
    """Admit those first in line while there is room; gives how many. Safe when it runs twice at once.

    Whose bridge takes nothing new goes to another one.
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
    """Their place is another one now: let whoever watches see it."""
    for account_id in list(in_line().filter(bridge=bridge_id).values_list("account_id", flat=True)[:AT_ONCE]):
        safely(_touch, account_id)


def sweep() -> int:
    """Move on the lines whose own task was lost; gives how many were admitted."""
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
    session = LinkSession.objects.select_for_update().get(pk=session_pk)
    if not _waits_still(account, session, bridge) or not _takes_more(bridge) or not has_room(bridge):
        return False
    session.admitted_at = timezone.now()
    session.save(update_fields=["admitted_at"])
    begin(session)
    account.touch()
    return True


@atomically
def _send_elsewhere(session_pk: int) -> bool:
    """Nothing was ordered for it yet, so another bridge may have it; it keeps its age, and so a good place there."""
    waiting = LinkSession.objects.select_related("account__workspace").get(pk=session_pk)
    try:
        other_id = fleet.choose(waiting.account.workspace).pk
    except fleet.NoBridgeAvailable:
        return False
    account = Account.objects.lock(waiting.account_id)
    locked = {pk: lock(pk) for pk in sorted({waiting.bridge_id, other_id})}
    session = LinkSession.objects.select_for_update().get(pk=session_pk)
    former, other = locked[waiting.bridge_id], locked[other_id]
    if not _waits_still(account, session, former) or _takes_more(former) or fleet.why_not(other):
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
    return fleet.is_up(bridge) and not bridge.is_draining


@atomically
def _touch(account_id: int) -> None:
    Account.objects.lock(account_id).touch()


# --- rules 7 and 8 --------------------------------------------------------------------------------
def quiet_left(session: LinkSession) -> int:
    """Whole seconds until the quiet time is over; 0: it is."""
    return _seconds_until(session.quiet_until) if session.is_quiet and session.quiet_until else 0


def cooldown_left(account: Account) -> int:
    """Whole seconds until one more attempt is allowed (rule 8); 0: now."""
    failed_at = _failures(account)
    if len(failed_at) < FAILURES_ALLOWED or whatsapp_is_down():
        return 0
    return _seconds_until(failed_at[FAILURES_ALLOWED - 1] + COOLDOWN)


def whatsapp_is_down() -> bool:
    """Nobody could link lately, on whichever bridge, and several have tried: more waiting helps nobody.

    An old link that ends says nothing about that, nor does what was our own fault.
    """
    since = timezone.now() - OUTAGE
    lately = Q(ended_at__isnull=True) | Q(ended_at__gt=since)
    tried = Q(connected_at__isnull=True) | Q(connected_at__gt=since - timedelta(seconds=PROVEN_AFTER))
    scanned = list(
        LinkSession.objects.filter(lately, tried, authenticated_at__isnull=False).order_by("ended_at")[:AT_ONCE]
    )
    in_vain = [session for session in scanned if _counts(session)]
    linked = any(session.connected_at for session in scanned if not _counts(session))
    everywhere = {session.bridge_id for session in scanned} == {session.bridge_id for session in in_vain}
    return everywhere and not linked and len({session.account_id for session in in_vain}) >= OUTAGE_ACCOUNTS


def risk_of(code: str) -> str:
    """What staff risk who override a refusal; empty for one that nobody can override."""
    risks = {
        "PAIRING_COOLDOWN": _(
            "WhatsApp may block the number for a while when it is linked too often. Find out first why it failed."
        ),
        "PAIRING_IN_PROGRESS": _(
            "The phone has scanned, or may be scanning now. A second attempt beside a fresh link can make WhatsApp "
            "throw out both."
        ),
    }
    return risks.get(code, "")


def _failures(account: Account) -> list[datetime]:
    """When attempts of the last hour failed that were scanned, since the last success; the newest first."""
    an_hour_ago = timezone.now() - COOLDOWN
    lately = Q(ended_at__isnull=True) | Q(ended_at__gt=an_hour_ago)
    scanned = list(account.sessions.filter(lately, authenticated_at__isnull=False).order_by("-pk")[:AT_ONCE])
    links = [session.connected_at for session in scanned if session.connected_at and _held(session)]
    success = max(links, default=an_hour_ago)
    failed = [session.ended_at for session in scanned if session.ended_at and _counts(session)]
    return sorted((moment for moment in failed if moment > success), reverse=True)


def _held(session: LinkSession) -> bool:
    """It connected and stayed for as long as proves a link (rule 9)."""
    until = session.ended_at or timezone.now()
    return session.connected_at is not None and until - session.connected_at >= timedelta(seconds=PROVEN_AFTER)


def _counts(session: LinkSession) -> bool:
    if session.end_reason not in FAILED or _held(session):
        return False
    said = failures.of(session.end_detail)  # the bridge's own reason knows more than the end that it became
    why = failures.FAILURES[EndReason(session.end_reason)] if said is failures.UNKNOWN else said
    return why.fault != Fault.OURS


def _seconds_until(moment: datetime) -> int:
    return max(1, ceil((moment - timezone.now()).total_seconds()))
