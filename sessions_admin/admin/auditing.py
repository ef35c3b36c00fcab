"""How the admin writes the audit: whatever a POST of a page changes is noted here, and not by each page's author.

A form's entry is written in the transaction of its change, and so is that of a dialog whose action is one transaction.
What is several transactions (`own_transactions`) is noted after them: a crash between leaves a change without entry.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar, cast

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponse, HttpResponseBase

from accounts.access import audit, changes
from accounts.access.changes import Change, State
from accounts.db.transactions import before_commit
from accounts.models import User

_KEY = "linkdesk.noting"
# Each page mixes it with unfold's, which ships no types.
_Base: Any = admin.ModelAdmin
F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Noting:
    """What is known of a request's changes so far."""

    states: dict[tuple[str, Any], State | None] = field(default_factory=dict)  # of rows as the page found them
    refused: str = ""  # why the domain refused the action
    more: dict[str, str] = field(default_factory=dict)  # what an action made besides
    by_dialog: bool = False


def noting(request: HttpRequest) -> Noting:
    return cast(Noting, request.META.setdefault(_KEY, Noting()))


def note(request: HttpRequest, action: str, row: Model, change: Change, *, reason: str = "", refused: str = "") -> None:
    """Note that the user of the request did this to the row: "account.change"."""
    audit.record(
        f"{row._meta.model_name}.{action}",
        actor=cast(User, request.user),
        of=row,
        before=change.before,
        after=change.after,
        reason=reason,
        refused=refused,
    )


class AuditedAdmin(_Base):  # type: ignore[misc]  # untyped, as what is mixed in
    """Notes what the forms, the delete pages and the actions of a list change."""

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Every page that changes a row looks it up by this first."""
        found = super().get_object(request, object_id, from_field)
        if found is not None and request.method == "POST":
            noting(request).states[_key(found)] = changes.state_of(found)
        return found

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        note(request, "add", obj, changes.between(type(obj), None, changes.state_of(obj)))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        known = noting(request)
        change = changes.between(type(obj), known.states.get(_key(obj)), changes.state_of(obj))
        if change and not known.by_dialog:
            note(request, "change", obj, change)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Django calls it before it deletes them, for one as for many."""
        for row in queryset:
            note(request, "delete", row, changes.between(type(row), changes.state_of(row), None))
        return super().log_deletions(request, queryset)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """The rows of an inline are rows like others."""
        known = {each.instance.pk: changes.state_of(each.instance) for each in formset.initial_forms}
        for each in formset.deleted_forms if formset.can_delete else []:
            if each.instance.pk is not None:
                note(request, "delete", each.instance, changes.between(formset.model, known[each.instance.pk], None))
        super().save_formset(request, form, formset, change)
        for row in formset.new_objects:
            note(request, "add", row, changes.between(formset.model, None, changes.state_of(row)))
        for row, _names in formset.changed_objects:
            note(request, "change", row, changes.between(formset.model, known.get(row.pk), changes.state_of(row)))

    def get_actions(self, request: HttpRequest) -> Any:
        """Django runs what it finds here, whichever button it takes for the pressed one."""
        found = super().get_actions(request).items()
        return {name: (_noted_for_each(function, name), *words) for name, (function, *words) in found}


def noted(
    method: Callable[[Any, HttpRequest, Any, str], HttpResponse], *, own_transactions: bool
) -> Callable[[Any, HttpRequest, Any, str], HttpResponse]:
    """The method of a dialog, which is called with a valid form only, and what it changed."""

    @wraps(method)
    def press(self: Any, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        row = self.find(request, object_id)
        known, before, written = noting(request), changes.state_of(row), []
        known.by_dialog = True

        def write() -> None:
            change = changes.between(type(row), before, changes.state_of(row))
            told = changes.of_form(form.cleaned_data) | known.more
            asked = Change(change.before, told | change.after)
            reason = form.cleaned_data.get("reason") or ""
            note(request, method.__name__, row, asked, reason=reason, refused=known.refused)
            written.append(True)

        with nullcontext() if own_transactions else before_commit(write):
            response = method(self, request, form, object_id)
        if known.refused or not written:  # a refusal takes back what was written in its transaction
            write()
        return response

    return press


def of_several_transactions(method: F) -> F:
    """Mark an action of a list whose rows are changed each in a transaction of its own."""
    method.own_transactions = True  # type: ignore[attr-defined]  # as Django marks its actions
    return method


def _key(row: Model) -> tuple[str, Any]:
    return row._meta.label_lower, row.pk


def _noted_for_each(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """An action of the list has an entry for each row that it was done to; when it deletes, by `log_deletions`.

    A page that asks first changes nothing. One that answers with a page of results changes what it changes.
    """
    if name == "delete_selected":
        return function

    @wraps(function)
    def run(page: Any, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        one = nullcontext() if getattr(function, "own_transactions", False) else transaction.atomic()
        with cast(AbstractContextManager[Any], one):
            given = list(queryset.all())
            known = {row: changes.state_of(row) for row in [*given, *_ticked(page, request)]}
            response = function(page, request, queryset)
            is_done = not isinstance(response, HttpResponseBase) or response.status_code == 302
            for row, before in known.items():
                change = changes.between(type(row), before, changes.state_of(row))
                if change or (is_done and row in given):
                    note(request, name, row, change)
        return response

    return run


def _ticked(page: Any, request: HttpRequest) -> QuerySet[Any]:
    """Rows that the list's filters leave out by now; an action may do something to them all the same."""
    rows: QuerySet[Any] = page.get_queryset(request)
    return rows.filter(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME))
