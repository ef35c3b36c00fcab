"""The overview: how many accounts are where, what needs attention, and what to do first on an empty desk."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.access import scope
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, Workspace
from sessions_admin import display
from sessions_admin.pages.attention import LATELY, Notice, notices
from sessions_admin.pages.diagnosis import explain
from sessions_admin.visibility import actor_of, may_open, page_of_row, seen, way_to_list

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
class SetUpStep:
    """Something to do before the desk can work."""

    text: str | Promise
    url: str


@dataclass(frozen=True)
class Overview:
    counts: list[StatusCount]
    troubles: list[Trouble]
    more_troubles: int
    notices: list[Notice]
    steps: list[SetUpStep]
    is_blind: bool  # its reader sees no workspace


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK."""
    return context | {"title": _("Overview"), "overview": overview(request)}


def overview(request: HttpRequest) -> Overview:
    accounts = seen(request, Account).filter(deleted_at__isnull=True)
    troubled = accounts.filter(
        status__in=[Status.FAILED, Status.DISCONNECTED], status_changed_at__gt=timezone.now() - LATELY
    ).order_by("-status_changed_at")
    return Overview(
        counts=_counts(accounts, request) if may_open(request, Account) else [],
        troubles=[_trouble(account) for account in troubled.select_related("current_session")[:SHOWN]],
        more_troubles=max(0, troubled.count() - SHOWN),
        notices=notices(request),
        steps=_steps(request),
        is_blind=_is_blind(request),
    )


def _counts(accounts: QuerySet[Account], request: HttpRequest) -> list[StatusCount]:
    found = dict(accounts.order_by().values_list("status").annotate(Count("pk")))
    return [
        StatusCount(display.status(status), found.get(status, 0), way_to_list(request, Account, status__exact=status))
        for status in Status
    ]


def _trouble(account: Account) -> Trouble:
    session = account.current_session
    why, detail = (session.end_reason, session.end_detail) if session else ("", "")
    return Trouble(
        account=str(account),
        url=page_of_row(account),
        status=display.status(account.status),
        phone=display.phone(account.phone_number),
        meaning=explain(Status(account.status), why, detail).meaning,
        since=display.age(account.status_changed_at),
    )


def _steps(request: HttpRequest) -> list[SetUpStep]:
    """Return the missing steps of the set-up, in order, as far as this user may do them."""
    needed: list[tuple[type[Model], str | Promise]] = [
        (Workspace, _("Create a workspace: the customer whose phones you link.")),
        (Bridge, _("Register a bridge: the process that speaks to WhatsApp.")),
        (Account, _("Add an account, then press Invite on its page and send the address to who holds the phone.")),
    ]
    return [
        SetUpStep(text, reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add"))
        for model, text in needed
        if (model is Workspace or not _is_blind(request))
        and admin.site.get_model_admin(model).has_add_permission(request)
        and not scope.seen_by(actor_of(request), model._default_manager.all()).exists()
    ]


def _is_blind(request: HttpRequest) -> bool:
    """Whether this user sees no workspace, though there may be some."""
    user = actor_of(request)
    return not user.sees_all and not user.workspaces_seen().exists()
