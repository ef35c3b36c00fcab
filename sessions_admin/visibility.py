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


def may_open(request: HttpRequest, model: type[Model]) -> bool:
    """Whether this user may open the list and the pages of a model."""
    return bool(admin.site.get_model_admin(model).has_view_permission(request))


def list_of(model: type[Model], /, **query: object) -> str:
    """The address of a model's list, filtered."""
    options = model._meta
    address = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    return f"{address}?{urlencode(query)}" if query else address


def page_of_row(row: Model) -> str:
    options = row._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])
