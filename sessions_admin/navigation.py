"""The sidebar, and the label of the environment."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from django_q.models import Failure, OrmQ, Schedule, Success

from accounts.models import (
    Account,
    AccountNotice,
    AuditEntry,
    Bridge,
    BridgeOrder,
    BridgeProcess,
    BridgeSecret,
    Incident,
    Lease,
    LinkInvitation,
    LinkSession,
    Message,
    Pulse,
    ReconcileRun,
    StraySession,
    Transition,
    User,
    Workspace,
)
from api.models import RateLimitCount, WorkspaceToken
from sessions_admin.visibility import list_of
from webhooks.models import StoredReport, UnmatchedTraffic, UnsignedTraffic, WebhookEvent

GROUPS: list[tuple[Any, list[tuple[type[Model], str]]]] = [
    (
        _("Linking"),
        [
            (Account, "smartphone"),
            (LinkSession, "qr_code_2"),
            (LinkInvitation, "link"),
            (Message, "chat"),
            (Transition, "history"),
            (AccountNotice, "campaign"),
        ],
    ),
    (
        _("Bridges"),
        [
            (Bridge, "hub"),
            (StraySession, "person_search"),
            (BridgeOrder, "outbox"),
            (Incident, "warning"),
            (ReconcileRun, "compare_arrows"),
            (BridgeProcess, "memory"),
            (BridgeSecret, "key"),
        ],
    ),
    (
        _("Inbox"),
        [
            (WebhookEvent, "inbox"),
            (UnmatchedTraffic, "question_mark"),
            (StoredReport, "summarize"),
            (UnsignedTraffic, "no_accounts"),
            (RateLimitCount, "block"),
        ],
    ),
    (
        _("People"),
        [
            (User, "person"),
            (Group, "group"),
            (Workspace, "storefront"),
            (WorkspaceToken, "vpn_key"),
            (AuditEntry, "policy"),
        ],
    ),
    (
        _("Queue"),
        [
            (Lease, "work_history"),
            (Pulse, "ecg_heart"),
            (Schedule, "schedule"),
            (OrmQ, "pending"),
            (Success, "check"),
            (Failure, "error"),
        ],
    ),
]


# Short titles under a group's name, and titles for the queue, which has no Indonesian (its pages use these too).
TITLES: dict[type[Model], Any] = {
    BridgeOrder: _("Orders"),
    BridgeSecret: _("Secrets"),
    Failure: _("Failed tasks"),
    Lease: _("Jobs"),
    OrmQ: _("Queued tasks"),
    Pulse: _("Workers"),
    Schedule: _("Scheduled tasks"),
    Success: _("Successful tasks"),
    WebhookEvent: _("Webhook events"),
    WorkspaceToken: _("Tokens"),
}

# The usual names of an environment; any other is shown as it was set.
ENVIRONMENTS = [gettext_noop("local"), gettext_noop("staging")]


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    home = {"items": [{"title": _("Overview"), "icon": "dashboard", "link": reverse("admin:index")}]}
    groups = [
        {"title": title, "items": [_item(*entry) for entry in _seen(request, entries)]} for title, entries in GROUPS
    ]
    return [home, *(group for group in groups if group["items"])]


def environment(request: HttpRequest) -> tuple[str, str] | None:
    """Label every environment except production."""
    return None if settings.ENVIRONMENT == "production" else (gettext(settings.ENVIRONMENT), "warning")


def _seen(request: HttpRequest, entries: list[tuple[type[Model], str]]) -> list[tuple[type[Model], str]]:
    return [(model, icon) for model, icon in entries if admin.site.get_model_admin(model).has_view_permission(request)]


def _item(model: type[Model], icon: str) -> dict[str, Any]:
    title = TITLES.get(model) or capfirst(model._meta.verbose_name_plural)
    return {"title": title, "icon": icon, "link": list_of(model)}
