"""Problems that need a person: one line each, however many sessions it touches, in a constant number of queries."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.bridges import choosing, presence, watch
from accounts.bridges.library_versions import Level, advisory
from accounts.models import (
    Account,
    AccountNotice,
    Bridge,
    BridgeOrder,
    Incident,
    Pulse,
    ReconcileRun,
    StraySession,
)
from accounts.reconcile import run, unknown
from api.health import LaneState, worker_state
from sessions_admin import bridge_display, display
from sessions_admin.admin.filters import NumberFilter
from sessions_admin.labels import INCIDENTS, NOTICES
from sessions_admin.pages import account_notices
from sessions_admin.visibility import actor_of, list_of, page_of_row, seen
from webhooks.models import WebhookEvent

LATELY = timedelta(hours=24)
SHOWN = 20  # of a kind


@dataclass(frozen=True)
class Notice:
    tone: str
    title: str
    text: str | Promise
    url: str
    since: SafeString | str = ""


def notices(request: HttpRequest) -> list[Notice]:
    """Return the notices, the worst first."""
    incidents = list(_open_incidents(request))
    # A silent bridge is shown by its incident, once there is one; a retired one is not shown.
    told = {row.bridge_id for row in incidents if row.kind == Incident.Kind.DOWN}
    told |= set(watch.retired().values_list("pk", flat=True))
    bridges = list(seen(request, Bridge).annotate(gave_no_code=choosing.gave_no_code()).order_by("name"))
    found = [
        *_workers(request),
        *_observing(request),
        *(_incident(row) for row in incidents),
        *(_down(bridge) for bridge in bridges if bridge_display.is_down(bridge) and bridge.pk not in told),
        # What goes wrong with a bridge that others use too is for those who see all workspaces.
        *(_of_each(bridges, _refusing, _without_codes, _library) if actor_of(request).sees_all else ()),
        *_account_notices(request),
        *_dead_events(request),
        *_strays(request),
        *_numbers(request),
        *_failed_orders(request),
    ]
    return sorted(found, key=lambda notice: notice.tone != "bad")


def _of_each(bridges: Iterable[Bridge], *tell: Callable[[Any], Notice | None]) -> list[Notice]:
    return [notice for of in tell for bridge in bridges if (notice := of(bridge)) is not None]


def _workers(request: HttpRequest) -> list[Notice]:
    """Every user sees this: without workers nothing links."""
    url = list_of(Pulse) if seen(request, Pulse).exists() else ""
    return [_lane(lane, url) for lane in worker_state()["lanes"] if lane["state"] != "up"]


def _lane(lane: LaneState, url: str) -> Notice:
    words = {"late": _("is late"), "stuck": _("is stuck"), "never_started": _("was never started")}
    title = _("The worker of the lane %(lane)s %(state)s") % {"lane": lane["lane"], "state": words[lane["state"]]}
    text = _("Orders, deadlines and retries wait for it. Start it, or look at its log.")
    since = max(lane["seconds_silent"] or 0, lane["seconds_late"])
    return Notice("bad", title, text, url, since=display.duration(since) if since else "")


def _observing(request: HttpRequest) -> list[Notice]:
    """Every user sees this: lost links stay lost."""
    if not run.is_observing():
        return []
    title = _("This desk only observes: it restores, reconnects and stops nothing by itself")
    text = _(
        "LINKDESK_RECONCILE is “observe”, as after a restored backup. When the reconciles look right, remove it and "
        "restart web and workers."
    )
    return [Notice("bad", title, text, list_of(ReconcileRun) if seen(request, ReconcileRun).exists() else "")]


def _open_incidents(request: HttpRequest) -> QuerySet[Incident]:
    rows: QuerySet[Incident] = seen(request, Incident).filter(closed_at__isnull=True)
    return rows.select_related("bridge").order_by("-opened_at")[:SHOWN]


def _incident(row: Incident) -> Notice:
    title = f"{row.bridge}: {row.get_kind_display()}"
    text = f"{INCIDENTS[row.kind].meaning} {row.summary}".strip()  # the summary is always in English
    return Notice("bad", title, text, page_of_row(row), display.age(row.opened_at))


def _down(bridge: Bridge) -> Notice:
    said = INCIDENTS[Incident.Kind.DOWN]
    return Notice(
        "bad",
        f"{bridge}: {Incident.Kind.DOWN.label}",
        said.meaning,
        page_of_row(bridge),
        display.age(bridge.last_heard_at),
    )


def _refusing(bridge: Bridge) -> Notice | None:
    if bridge.failing_since is None or not presence.is_up(bridge):
        return None
    title = _("%(bridge)s: refuses orders") % {"bridge": bridge}
    text = bridge.last_error or _("It gives no good answer to what we want of it. Orders wait, and are tried again.")
    return Notice("wait", title, text, page_of_row(bridge), display.age(bridge.failing_since))


def _without_codes(bridge: Any) -> Notice | None:
    """`bridge` must be annotated with `gave_no_code`."""
    if bridge.failing_since or not bridge.gave_no_code:
        return None
    title = _("%(bridge)s: gave no QR code") % {"bridge": bridge}
    text = _(
        "An attempt there ended without a code, and none was shown since. For ten minutes new ones go to other bridges "
        "first. If it happens again, look at its log: its browser may not start."
    )
    return Notice("wait", title, text, page_of_row(bridge))


def _library(bridge: Bridge) -> Notice | None:
    known = advisory(bridge.library, bridge.version)
    if known is None or known.level != Level.BAD:
        return None
    title = _("%(bridge)s: %(library)s %(version)s is known to fail")
    title %= {"bridge": bridge, "library": bridge.library, "version": bridge.version}
    return Notice("bad", title, f"{known.meaning} {known.todo}", page_of_row(bridge))


def _account_notices(request: HttpRequest) -> list[Notice]:
    current = AccountNotice.objects.current().filter(account__in=seen(request, Account))
    return [_of_account(row) for row in current.select_related("account").order_by("-last_at")[:SHOWN]]


def _of_account(row: AccountNotice) -> Notice:
    title = f"{row.account}: {row.get_kind_display()}"
    text = f"{capfirst(account_notices.facts(row))}. {NOTICES[row.kind].todo}"
    return Notice("wait", title, text, page_of_row(row.account), display.age(row.since))


def _dead_events(request: HttpRequest) -> list[Notice]:
    count = seen(request, WebhookEvent).filter(state=WebhookEvent.State.DEAD).count()
    title = ngettext(
        "%(count)d webhook event could not be applied", "%(count)d webhook events could not be applied", count
    )
    url = list_of(WebhookEvent, state__exact=WebhookEvent.State.DEAD)
    text = _("Look at the problem of each, set it right, and press Replay.")
    return [Notice("bad", title % {"count": count}, text, url)] if count else []


def _strays(request: HttpRequest) -> list[Notice]:
    waiting = seen(request, StraySession).filter(settled_at__isnull=True)
    found = waiting.aggregate(count=Count("pk"), newest=Max("first_seen_at"))
    count = found["count"]
    title = ngettext(
        "%(count)d session that this desk does not know", "%(count)d sessions that this desk does not know", count
    )
    text = _("Adopt those that are links, stop the others. Nothing happens to them by itself.")
    if count >= unknown.MOST_OPEN:
        more = _("Of one bridge at most %(most)d are listed: there may be more, which come when these are settled.")
        text = f"{text} {more % {'most': unknown.MOST_OPEN}}"
    url, since = list_of(StraySession), display.age(found["newest"])
    return [Notice("wait", title % {"count": count}, text, url, since)] if count else []


def _numbers(request: HttpRequest) -> list[Notice]:
    waiting = NumberFilter.waiting(seen(request, Account).filter(deleted_at__isnull=True))
    count = waiting.count()
    title = ngettext(
        "%(count)d account waits for a decision about its number",
        "%(count)d accounts wait for a decision about their numbers",
        count,
    )
    text = _("A number that nobody knows, one that has changed, or two accounts of one phone. Each page says which.")
    url = list_of(Account, **{NumberFilter.parameter_name: "waits"})
    return [Notice("wait", title % {"count": count}, text, url)] if count else []


def _failed_orders(request: HttpRequest) -> list[Notice]:
    failed = seen(request, BridgeOrder).filter(state=BridgeOrder.State.FAILED, closed_at__gt=timezone.now() - LATELY)
    found = failed.aggregate(count=Count("pk"), newest=Max("closed_at"))
    count = found["count"]
    title = ngettext(
        "%(count)d order failed in the last 24 hours", "%(count)d orders failed in the last 24 hours", count
    )
    url = list_of(BridgeOrder, state__exact=BridgeOrder.State.FAILED)
    text = _("What the bridge answered stands beside each.")
    return [Notice("wait", title % {"count": count}, text, url, display.age(found["newest"]))] if count else []
