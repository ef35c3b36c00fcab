"""How long a person must wait before the next attempt (rules "Quiet time" and "Cooldown")."""

from datetime import datetime, timedelta
from math import ceil

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import failures
from accounts.failures import Fault
from accounts.lifecycle import (
    PROVEN_AFTER,
    STATUS_AFTER,
    EndReason,
    Status,
)
from accounts.models import Account, LinkSession

AT_ONCE = 200  # sessions in one run
FAILURES_ALLOWED = 5  # rule "Cooldown": in an hour; WhatsApp takes more for an attack
COOLDOWN = timedelta(hours=1)
OUTAGE = timedelta(minutes=15)  # in which nobody anywhere could link
OUTAGE_ACCOUNTS = 3  # fewer may be a coincidence
FAILED = frozenset(why for why, status in STATUS_AFTER.items() if status in {Status.FAILED, Status.LOGGED_OUT})


def quiet_left(session: LinkSession) -> int:
    """Whole seconds until the quiet time is over; 0: it is."""
    return _seconds_until(session.quiet_until) if session.is_quiet and session.quiet_until else 0


def cooldown_left(account: Account) -> int:
    """Whole seconds until one more attempt is allowed (rule "Cooldown"); 0: now."""
    failed_at = _failures(account)
    if len(failed_at) < FAILURES_ALLOWED or whatsapp_is_down():
        return 0
    return _seconds_until(failed_at[FAILURES_ALLOWED - 1] + COOLDOWN)


def whatsapp_is_down() -> bool:
    """Whether several tried lately and nobody could link, on any bridge: then more waiting does not help.

    Old links that end do not count, nor do failures that were our own fault.
    """
    since = timezone.now() - OUTAGE
    lately = Q(ended_at__isnull=True) | Q(ended_at__gt=since)
    tried = Q(connected_at__isnull=True) | Q(connected_at__gt=since - timedelta(seconds=PROVEN_AFTER))
    scanned = list(
        LinkSession.objects.filter(lately, tried, authenticated_at__isnull=False).order_by("ended_at")[:AT_ONCE]
    )
    in_vain = [session for session in scanned if _counts(session)]
    linked = any(session.connected_at for session in set(scanned) - set(in_vain))
    everywhere = {session.bridge_id for session in scanned} == {session.bridge_id for session in in_vain}
    return everywhere and not linked and len({session.account_id for session in in_vain}) >= OUTAGE_ACCOUNTS


def risk_of(code: str) -> str:
    """The risk of overriding a refusal, for staff; empty if nobody can override it."""
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
    """When scanned attempts failed in the last hour and since the last success; the newest first."""
    an_hour_ago = timezone.now() - COOLDOWN
    lately = Q(ended_at__isnull=True) | Q(ended_at__gt=an_hour_ago)
    scanned = list(account.sessions.filter(lately, authenticated_at__isnull=False).order_by("-pk")[:AT_ONCE])
    links = [session.connected_at for session in scanned if session.connected_at and _held(session)]
    success = max(links, default=an_hour_ago)
    failed = [session.ended_at for session in scanned if session.ended_at and _counts(session)]
    return sorted((moment for moment in failed if moment > success), reverse=True)


def _held(session: LinkSession) -> bool:
    """Whether it connected and stayed for long enough to prove the link (rule "Proven")."""
    until = session.ended_at or timezone.now()
    return session.connected_at is not None and until - session.connected_at >= timedelta(seconds=PROVEN_AFTER)


def _counts(session: LinkSession) -> bool:
    if session.end_reason not in FAILED or _held(session):
        return False
    said = failures.of(session.end_detail)  # the bridge's own reason tells more than our EndReason
    why = failures.FAILURES[EndReason(session.end_reason)] if said is failures.UNKNOWN else said
    return why.fault != Fault.OURS


def _seconds_until(moment: datetime) -> int:
    return max(1, ceil((moment - timezone.now()).total_seconds()))
