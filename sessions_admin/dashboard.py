"""The overview: how many accounts are where, what needs attention, and what to do first on an empty desk."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, Workspace
from sessions_admin import cells
from sessions_admin.account_page import explain
from webhooks.models import WebhookEvent

LATELY = timedelta(hours=24)
SHOWN = 20


@dataclass(frozen=True)
class StatusCount:
    word: SafeString
    count: int
    url: str


@dataclass(frozen=True)
class Trouble:
    account: str
    url: str
    status: SafeString
    phone: str
    meaning: str | Promise
    since: SafeString | str


@dataclass(frozen=True)
class Step:
    """Something to do before the desk can work."""

    text: str | Promise
    url: str


@dataclass(frozen=True)
class Overview:
    counts: list[StatusCount]
    troubles: list[Trouble]
    more_troubles: int
    dead_events: int
    dead_events_url: str
    steps: list[Step]


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK."""
    return context | {"title": _("Overview"), "overview": overview(request)}


def overview(request: HttpRequest) -> Overview:
    accounts = _seen(request, Account).filter(deleted_at__isnull=True)
    troubled = accounts.filter(
        status__in=[Status.FAILED, Status.DISCONNECTED], status_changed_at__gt=timezone.now() - LATELY
    ).order_by("-status_changed_at")
    dead = {"state__exact": WebhookEvent.State.DEAD}
    return Overview(
        counts=_counts(accounts),
        troubles=[_trouble(account) for account in troubled.select_related("current_session")[:SHOWN]],
        more_troubles=max(0, troubled.count() - SHOWN),
        dead_events=_seen(request, WebhookEvent).filter(state=WebhookEvent.State.DEAD).count(),
        dead_events_url=f"{reverse('admin:webhooks_webhookevent_changelist')}?{urlencode(dead)}",
        steps=_steps(request),
    )


def _seen(request: HttpRequest, model: type[Model]) -> QuerySet[Any]:
    """What this user may see of a model, by the rule of its admin."""
    page = admin.site.get_model_admin(model)
    return page.get_queryset(request) if page.has_view_permission(request) else model._default_manager.none()


def _counts(accounts: QuerySet[Account]) -> list[StatusCount]:
    found = dict(accounts.order_by().values_list("status").annotate(Count("pk")))
    address = reverse("admin:accounts_account_changelist")
    return [
        StatusCount(cells.status(status), found.get(status, 0), f"{address}?{urlencode({'status__exact': status})}")
        for status in Status
    ]


def _trouble(account: Account) -> Trouble:
    reason = account.current_session.end_reason if account.current_session else ""
    return Trouble(
        account=str(account),
        url=reverse("admin:accounts_account_change", args=[account.pk]),
        status=cells.status(account.status),
        phone=cells.phone(account.phone_number),
        meaning=explain(Status(account.status), reason).meaning,
        since=cells.age(account.status_changed_at),
    )


def _steps(request: HttpRequest) -> list[Step]:
    """What is still missing, in order, as far as this user may set it right."""
    needed: list[tuple[type[Model], str | Promise]] = [
        (Workspace, _("Create a workspace: the customer whose phones you link.")),
        (Bridge, _("Register a bridge: the process that speaks to WhatsApp.")),
        (Account, _("Add an account, then press Invite on its page and send the address to who holds the phone.")),
    ]
    return [
        Step(text, reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add"))
        for model, text in needed
        if admin.site.get_model_admin(model).has_add_permission(request) and not model._default_manager.exists()
    ]
