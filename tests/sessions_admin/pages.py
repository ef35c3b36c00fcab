"""The pages of the admin: of which models, at which addresses, with which first row."""

import re
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.urls import reverse

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


def url(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def first(model: type[Model]) -> Any:
    return model._default_manager.order_by("pk").first()


def actions() -> Iterator[tuple[type[Model], str, bool]]:
    """All of unfold's actions of all models: model, method, whether it is of one object."""
    for model in MODELS:
        page: Any = admin.site._registry[model]
        for kind in ("list", "row", "detail", "submit_line"):
            for name in page._extract_action_names(getattr(page, f"actions_{kind}")):
                yield model, name, kind != "list"


def every_row() -> dict[str, list[Any]]:
    """All that is stored, but for who has logged in when."""
    models = [
        model
        for app in ("accounts", "api", "webhooks", "auth", "django_q")
        for model in apps.get_app_config(app).models.values()
        if not model._meta.swapped
    ]
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in models}


def refused(page: str) -> dict[str, str]:
    """The buttons of a page that may not be pressed, with the reason that a screen reader says of each."""
    found = re.findall(
        r'<button type="button" aria-disabled="true" aria-describedby="([^"]+)">(.*?)</button>', page, re.S
    )
    reasons = dict(re.findall(r'<span id="([^"]+)" class="ld-why"[^>]*>(.*?)</span>', page))
    return {re.sub(r"<span.*?</span>", "", words, flags=re.S).strip(): reasons[name] for name, words in found}
