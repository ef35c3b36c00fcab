"""Pages of rows that hold texts of messages: the texts are masked, and read on purpose (accounts/access/bodies.py)."""

import json
from typing import Any

from django.contrib.admin.utils import label_for_field
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import bodies
from sessions_admin.admin.base import DialogForm, ReadOnlyAdmin, actor_of, dialog_action, in_place_of_form
from sessions_admin.visibility import page_of_row


class HoldsTexts(ReadOnlyAdmin):
    """No text is in a list, a search, a filter or the page itself: only in the answer to this button."""

    def is_offered(self, action: str, row: Any) -> bool:
        return (action != "read_body" or bodies.are_in(row)) and super().is_offered(action, row)

    def has_read_body_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return bodies.may_read(actor_of(request)) and bool(self.has_view_permission(request))

    @dialog_action(
        gettext_lazy("Read the text"),
        permission="read_body",
        icon="visibility",
        consequence=gettext_lazy("Shows what was written. That you have read it is noted in the audit."),
    )
    def read_body(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        row = self.find(request, object_id)
        texts = bodies.read(row, actor=actor_of(request))
        return _show(request, row, texts)


def _show(request: HttpRequest, row: Model, texts: dict[str, Any]) -> HttpResponse:
    """In place of the dialog's form, and in this answer only."""
    named = [(capfirst(str(label_for_field(name, type(row)))), _plain(text)) for name, text in texts.items() if text]
    context = {"title": _("The text"), "texts": named, "url": page_of_row(row)}
    return in_place_of_form(render(request, "sessions_admin/read_text.html", context))


def _plain(text: Any) -> str:
    if isinstance(text, str):
        return text
    return json.dumps(text, indent=2, ensure_ascii=False, sort_keys=True, cls=DjangoJSONEncoder)
