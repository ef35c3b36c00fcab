"""The pages of the admin: of which models, at which addresses, with which first row."""

import re
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.urls import reverse

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


def url(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def first(model: type[Model]) -> Any:
    return model._default_manager.order_by("pk").first()


def refused(page: str) -> dict[str, str]:
    """The buttons of a page that may not be pressed, with the reason that a screen reader says of each."""
    found = re.findall(
        r'<button type="button" aria-disabled="true" aria-describedby="([^"]+)">(.*?)</button>', page, re.S
    )
    reasons = dict(re.findall(r'<span id="([^"]+)" class="ld-why"[^>]*>(.*?)</span>', page))
    return {re.sub(r"<span.*?</span>", "", words, flags=re.S).strip(): reasons[name] for name, words in found}
