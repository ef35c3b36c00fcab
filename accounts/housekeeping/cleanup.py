"""Tidying up: attempts that led nowhere, and links that are gone for long.

An account that was ever linked is not deleted: it becomes inactive, with its history. Who else could be there: the
ready of the very session that is cleaned up, a new attempt, staff, another cleanup. So each account is a transaction
of its own, and is looked at again under its lock.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.bridges import ownership, presence
from accounts.db.transactions import atomically
from accounts.jobs.row_by_row import safely
from accounts.lifecycle import UNSCANNED, EndReason, Status
from accounts.models import Account, BridgeOrder, LinkInvitation, LinkSession, Transition
from accounts.models.account import AccountQuerySet
from accounts.pairing.attempts import lapse
from accounts.pairing.session_end import end
from accounts.reconcile import run

CLEANABLE = (Status.QR_SCANNING, Status.QR_EXPIRED, Status.FAILED, Status.DISCONNECTED, Status.LOGGED_OUT)
TRIGGER = "cleanup"  # in the history
TOO_YOUNG = timedelta(minutes=10)  # a younger attempt is never touched (docs/bridge-contract.md, 5.1)
AT_ONCE = 200  # accounts for each call: a bridge waits 10 s for the answer

# The schedule cleans up unasked, so it waits longer. A bridge keeps undelivered events for 24 h: until then a scan
# during an outage of ours may still be reported.
SETTLED_AFTER = timedelta(hours=24)
LOST_AFTER = timedelta(days=7)
BRIDGE_STEADY = timedelta(hours=1)  # a bridge that is up for so long has delivered the events that it kept

# These are for the questions that a bridge asks before and after it tidies up by itself.
STALE_AFTER = timedelta(hours=24)  # a Node bridge forgets what failed for longer than a day
LISTED = 50


@dataclass(frozen=True)
class Cleaned:
    attempts: int
    links: int
    failed: int


def of_bridge(bridge_id: int) -> AccountQuerySet:
    """The accounts whose current or last session the bridge owns, in workspaces that it serves."""
    return Account.objects.live().filter(current_session__in=ownership.sessions_of(bridge_id))


def clean(accounts: AccountQuerySet, *, statuses: Collection[str], phone: str | None = None) -> int:
    """Clean up accounts in one of `statuses` (of CLEANABLE), as asked. Gives how many; safe to repeat."""
    asked = accounts.live().filter(status__in=statuses)
    return _clean_each(asked if phone is None else asked.with_phone(phone))[True]


def clean_stale(accounts: AccountQuerySet, *, attempts_after: timedelta, links_after: timedelta) -> Cleaned:
    """Clean up attempts that began, and links that were lost, so long ago; a link only while its bridge is up.

    A program's timer asks for this, so it does nothing while we only observe, as with our own schedule below.
    """
    if run.is_observing():
        return Cleaned(attempts=0, links=0, failed=0)
    now = timezone.now()
    attempts = _attempts(accounts).filter(current_session__started_at__lt=now - attempts_after)
    links = _lost(accounts, since=links_after)
    return _sum_up(_clean_each(attempts), _clean_each(links))


def clean_on_schedule() -> Cleaned | str:
    """Do as `clean_stale` for all accounts, but only if no event can be on its way that says otherwise.

    Attempts that end only after an outage of ours wait for another 24 h, and so do those whose stop could not be
    delivered. An account with an open invitation is left. Nothing is cleaned up while we only observe
    (LINKDESK_RECONCILE): a link that a restored backup calls lost may be back.
    """
    if run.is_observing():
        return "nothing: it only observes"
    before = timezone.now() - SETTLED_AFTER
    unsettled = BridgeOrder.objects.filter(
        Q(state__in=BridgeOrder.UNDER_WAY) | Q(closed_at__gte=before), session__account=OuterRef("pk")
    )
    invited = LinkInvitation.objects.usable().filter(account=OuterRef("pk"))
    everybody = Account.objects.all()
    attempts = _attempts(everybody).filter(~Exists(unsettled), ~Exists(invited), current_session__ended_at__lt=before)
    steady = timezone.now() - BRIDGE_STEADY
    links = _lost(everybody, since=LOST_AFTER).filter(current_session__bridge__heard_since__lt=steady)
    return _sum_up(_clean_each(attempts), _clean_each(links))


@atomically
def end_lapsed(account_id: int, *, bridge_id: int) -> bool:
    """End the attempt of an account that a bridge wants to clean up, if it has lapsed. Gives whether it had.

    Raises Account.DoesNotExist, also for an account that the bridge may not see.
    """
    of_bridge(bridge_id).get(pk=account_id)
    account = Account.objects.lock(account_id)
    of_bridge(bridge_id).get(pk=account_id)  # the session may have moved while we waited for the lock
    session = account.current_session
    return session is not None and session.authenticated_at is None and lapse(account, session)


def for_cleanup(bridge_id: int) -> QuerySet[LinkSession]:
    """The last sessions of accounts without an open one, ended over a day ago; the latest first.

    None while we only observe (LINKDESK_RECONCILE): the bridge deletes these, and a restored backup may be wrong.
    """
    if run.is_observing():
        return LinkSession.objects.none()
    running = LinkSession.objects.filter(account=OuterRef("account"), ended_at__isnull=True)
    last = ownership.sessions_of(bridge_id).filter(account__deleted_at__isnull=True, pk=F("account__current_session"))
    ended = last.filter(~Exists(running), ended_at__lt=timezone.now() - STALE_AFTER)
    return ended.select_related("account").order_by("-ended_at")[:LISTED]


def stats_of(bridge_id: int) -> dict[str, Any]:
    """Six numbers about the accounts of a bridge, from two queries, however many accounts there are."""
    stale = Q(status_changed_at__lt=timezone.now() - STALE_AFTER)
    gone, failed = Q(status__in=[Status.DISCONNECTED, Status.LOGGED_OUT]), Q(status=Status.FAILED)
    week = Q(created_at__gte=timezone.now() - timedelta(days=7))
    cleanups = Transition.objects.filter(trigger=TRIGGER, session__in=ownership.sessions_of(bridge_id))
    return cleanups.aggregate(
        cleanups_last_7_days=Count("pk", filter=week), last_cleanup_at=Max("created_at")
    ) | of_bridge(bridge_id).aggregate(
        stale_disconnected_count=Count("pk", filter=stale & gone),
        stale_failed_count=Count("pk", filter=stale & failed),
        healthy_accounts=Count("pk", filter=Q(status=Status.CONNECTED)),
        low_health_accounts=Count("pk", filter=Q(status=Status.DISCONNECTED)),
    )


def _attempts(accounts: AccountQuerySet) -> AccountQuerySet:
    """The accounts that were never linked and whose attempt may be over."""
    linked = LinkSession.objects.filter(account=OuterRef("pk"), connected_at__isnull=False)
    over = [Status.QR_SCANNING, Status.QR_EXPIRED, Status.FAILED]
    return accounts.live().filter(~Exists(linked), status__in=over)


def _lost(accounts: AccountQuerySet, *, since: timedelta) -> AccountQuerySet:
    """Links that were lost so long ago, at bridges that are up: the sessions of a silent one may still run."""
    now = timezone.now()
    return accounts.live().filter(
        status__in=[Status.DISCONNECTED, Status.LOGGED_OUT],
        status_changed_at__lt=now - since,
        current_session__bridge__last_heard_at__gte=now - timedelta(seconds=presence.UP_WITHIN),
    )


def _clean_each(candidates: AccountQuerySet) -> Counter[bool | None]:
    """How many were cleaned up (True), were no candidates any more (False), or failed (None)."""
    grown = candidates.exclude(current_session__started_at__gte=timezone.now() - TOO_YOUNG)
    return Counter(safely(_clean, pk, grown) for pk in grown.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])


def _sum_up(attempts: Counter[bool | None], links: Counter[bool | None]) -> Cleaned:
    return Cleaned(attempts=attempts[True], links=links[True], failed=attempts[None] + links[None])


@atomically
def _clean(account_id: int, candidates: AccountQuerySet) -> bool:
    account = Account.objects.lock(account_id)
    if not candidates.filter(pk=account_id).exists():
        return False  # somebody was faster: a ready, a new attempt, another cleanup
    session = account.current_session
    if session is not None and session.is_open and not _end(account, session):
        return False
    if account.status != Status.INACTIVE:
        account.move(Status.INACTIVE, trigger=TRIGGER, session=session)
    if not account.was_linked():
        account.invitations.usable().update(revoked_at=timezone.now())
        account.deleted_at = timezone.now()
        account.touch("deleted_at")
    return True


def _end(account: Account, session: LinkSession) -> bool:
    """End the open session; an attempt only when it has lapsed, whatever was asked."""
    if account.status == Status.DISCONNECTED:
        end(session, EndReason.CLEANED_UP, account=account, trigger=TRIGGER)
        return True
    return account.status in UNSCANNED and session.authenticated_at is None and lapse(account, session)
