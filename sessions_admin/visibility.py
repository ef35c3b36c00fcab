"""The rows that a user may see, by the rule of each model's admin."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse


def seen(request: HttpRequest, model: type[Model]) -> QuerySet[Any]:
    """The rows of a model that this user may see."""
    page = admin.site.get_model_admin(model)
    return page.get_queryset(request) if page.has_view_permission(request) else model._default_manager.none()


def list_of(model: type[Model], /, **query: object) -> str:
    """The address of a model's list, filtered."""
    options = model._meta
    address = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    return f"{address}?{urlencode(query)}" if query else address


def page_of_row(row: Model) -> str:
    options = row._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])
