"""The rows that a user may see, by the rule of each model's admin."""

from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from accounts.models import User


def actor_of(request: HttpRequest) -> User:
    """The user of the request. Only staff reach a page of the admin."""
    return cast(User, request.user)


def seen(request: HttpRequest, model: type[Model]) -> QuerySet[Any]:
    """The rows of a model that this user may see."""
    page = admin.site.get_model_admin(model)
    return page.get_queryset(request) if may_open(request, model) else model._default_manager.none()


def list_of(model: type[Model], /, **query: object) -> str:
    """The address of a model's list, filtered."""
    options = model._meta
    address = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    return f"{address}?{urlencode(query)}" if query else address


def page_of_row(row: Model) -> str:
    options = row._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])


def may_open(request: HttpRequest, model: type[Model]) -> bool:
    """Whether the list of this model, and the pages of its rows that this user sees, answer."""
    return bool(admin.site.is_registered(model) and admin.site.get_model_admin(model).has_view_permission(request))


def may_open_row(request: HttpRequest, row: Model) -> bool:
    return may_open(request, type(row)) and seen(request, type(row)).filter(pk=row.pk).exists()


def way_to_list(request: HttpRequest, model: type[Model], /, **query: object) -> str:
    """The address of a model's list, filtered; empty if this user may not open it."""
    return list_of(model, **query) if may_open(request, model) else ""


def way_to(request: HttpRequest, row: Model) -> str:
    """The address of a row's page; empty if this user may not open pages of its kind. No look at the row: a page has
    many."""
    return page_of_row(row) if may_open(request, type(row)) else ""
