"""The one place that knows django-unfold, and the rules that hold for every page of the admin.

Unfold's bare `@action` runs on GET, without CSRF protection and without a permission. `dialog_action` is what the
other modules use: GET shows a form and changes nothing, POST needs the permission and an object that the user sees.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, cast

import unfold.forms
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin as UnfoldModelAdmin
from unfold.admin import StackedInline as UnfoldStackedInline
from unfold.admin import TabularInline as UnfoldTabularInline
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.fields import UnfoldAdminReadonlyField
from unfold.forms import AdminPasswordChangeForm, BaseDialogForm, UserChangeForm, UserCreationForm
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from accounts.access import scope
from sessions_admin import display
from sessions_admin.admin.auditing import AuditedAdmin, noted, noting
from sessions_admin.admin.offers import Offering
from sessions_admin.admin.phone_search import rows_with
from sessions_admin.admin.scoping import Scoped
from sessions_admin.visibility import actor_of, may_open_row

__all__ = [
    "ActionVariant",
    "AdminPasswordChangeForm",
    "CountedAdmin",
    "DialogForm",
    "ModelAdmin",
    "ReadOnlyAdmin",
    "StackedInline",
    "TabularInline",
    "UnfoldAdminCheckboxSelectMultipleWidget",
    "UnfoldAdminIntegerFieldWidget",
    "UnfoldAdminPasswordWidget",
    "UnfoldAdminRadioSelectWidget",
    "UnfoldAdminSelectWidget",
    "UnfoldAdminTextInputWidget",
    "UnfoldAdminTextareaWidget",
    "UnfoldBooleanWidget",
    "UserChangeForm",
    "UserCreationForm",
    "actor_of",
    "age_of",
    "dialog_action",
    "done",
    "in_place_of_form",
    "show_once",
]

DialogView = Callable[[Any, HttpRequest, str], HttpResponse]


class PageBeforeItsRelations(ChangeList):  # type: ignore[misc]  # unfold ships no types
    """The list reads the rows that `list_select_related` names for its page alone.

    Joined, it makes MariaDB begin at the smaller table and sort millions of rows before it cuts the page.
    """

    def apply_select_related(self, qs: QuerySet[Any]) -> QuerySet[Any]:
        return qs.prefetch_related(*self.list_select_related) if self.list_select_related else qs


class ModelAdmin(AuditedAdmin, Offering, Scoped, UnfoldModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """The base of all our admins. What a person sees is decided in `scoping.py`, and nowhere else."""

    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PageBeforeItsRelations

    # The field with this model's phone number, for searches such as "+62 811-1680-1641".
    phone_columns: tuple[str, ...] = ()  # searched by any form of a number (phone_search.py)

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """Return the object, if this user may see it. Raises Http404."""
        found = self.get_object(request, unquote(object_id))
        if found is None:
            raise Http404
        return found

    def may(self, request: HttpRequest, codename: str) -> bool:
        """Whether this user has a permission on this model. A user who may not view it may not act on it either."""
        label = f"{self.model._meta.app_label}.{codename}"
        return bool(request.user.has_perm(label) and self.has_view_permission(request))

    @contextmanager
    def told(
        self, request: HttpRequest, refusals: type[Exception] | tuple[type[Exception], ...], said: str = ""
    ) -> Iterator[None]:
        """Show `said` after the block has succeeded, or the reason of a refusal. Without `said` the block shows it."""
        try:
            yield
        except refusals as refusal:
            self.refuse(request, str(refusal))
        else:
            if said:
                self.message_user(request, said, messages.SUCCESS)

    def refuse(self, request: HttpRequest, why: str) -> None:
        """Say why the domain does not do what was asked; the audit says it too."""
        noting(request).refused = why
        self.message_user(request, why, messages.ERROR)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        by_phone = rows_with(search_term, columns=self.phone_columns, workspaces=actor_of(request).workspaces_seen())
        return found | queryset.filter(by_phone) if by_phone is not None else found, may_repeat


class ReadonlyField(UnfoldAdminReadonlyField):  # type: ignore[misc]  # unfold ships no types
    """A value that is only shown. Unfold links it to the page of its row, whoever reads it."""

    def get_admin_url(self, remote_field: Any, remote_obj: Model) -> str:
        reader = getattr(self.form, "reader", None)  # set by `Offering`
        if reader is None or not may_open_row(reader, remote_obj):
            return str(remote_obj)
        return cast(str, super().get_admin_url(remote_field, remote_obj))


unfold.forms.UnfoldAdminReadonlyField = ReadonlyField  # its forms make the fields by this name


class ReadOnlyAdmin(ModelAdmin):
    """For logs and rows that only the domain writes: they are shown, and never added, changed or deleted."""

    # These tables grow to millions of rows, so their pages are not counted.
    paginator = InfinitePaginator
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def age_of(ordering: str, title: Any) -> Any:
    """A column that says how long ago a moment was: its field, with a minus to sort the latest first."""

    @admin.display(description=title, ordering=ordering)
    def show(self: ModelAdmin, row: Model) -> SafeString | str:
        return display.age(getattr(row, ordering.removeprefix("-")))

    return show


class CountedAdmin(ReadOnlyAdmin):
    """For rows that count requests instead of keeping them."""

    ordering = ["-last_at"]

    last = age_of("last_at", gettext_lazy("last"))

    @admin.display(description=gettext_lazy("count"), ordering="count")
    def seen(self, row: Any) -> SafeString:
        return display.number(row.count)


class TabularInline(UnfoldTabularInline):  # type: ignore[misc]
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return scope.seen_by(actor_of(request), super().get_queryset(request))


class StackedInline(UnfoldStackedInline):  # type: ignore[misc]  # unfold ships no types
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return scope.seen_by(actor_of(request), super().get_queryset(request))


class DialogForm(BaseDialogForm):  # type: ignore[misc]
    """The form of a dialog. On GET it is unbound, and so never valid."""

    # Unfold demands this hidden field; our POSTs do not need it.
    _form_submitted = forms.BooleanField(required=False, initial=True, widget=forms.HiddenInput)


def dialog_action(
    description: str | Promise,
    *,
    permission: str,
    consequence: str | Promise,
    form: type[DialogForm] = DialogForm,
    icon: str | None = None,
    variant: ActionVariant = ActionVariant.DEFAULT,
    own_transactions: bool = False,
) -> Callable[[Callable[[Any, HttpRequest, DialogForm, str], HttpResponse]], DialogView]:
    """A button on the detail page that opens a form; `has_<permission>_permission` decides who may press it.

    The method gets the request, the valid form and the object's id. What it changes is noted in the audit, in its
    transaction; `own_transactions` says that it needs several, and is noted after them.
    """
    dialog = {
        "title": description,
        "description": consequence,
        "form_class": form,
        "form_submit_text": description,
    }

    def decorate(method: Callable[[Any, HttpRequest, DialogForm, str], HttpResponse]) -> DialogView:
        audited = noted(method, own_transactions=own_transactions)
        opened = action(description=description, permissions=[permission], dialog=dialog, icon=icon, variant=variant)(
            audited
        )

        @wraps(opened)
        def guarded(self: Any, request: HttpRequest, object_id: str) -> HttpResponse:
            is_allowed = getattr(self, f"has_{permission}_permission")
            if not is_allowed(request):
                raise PermissionDenied  # before the look-up: without permission nobody learns what exists
            self.find(request, object_id)
            if not is_allowed(request, object_id):
                raise PermissionDenied
            return cast(HttpResponse, opened(self, request, object_id=object_id))

        return cast(DialogView, guarded)

    return decorate


def done(request: HttpRequest, url: str) -> HttpResponse:
    """Leave the dialog for `url`: htmx follows a header, other clients a redirect."""
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def show_once(request: HttpRequest, *, title: str, note: str, secret: str, url: str) -> HttpResponse:
    """Show a secret in place of the dialog's form. It is in this answer only: not in a message, cookie or session."""
    context = {"title": title, "note": note, "secret": secret, "url": url}
    return in_place_of_form(render(request, "sessions_admin/shown_once.html", context))


def in_place_of_form(response: HttpResponse) -> HttpResponse:
    """Let htmx put the answer in place of the whole dialog, and nobody keep it."""
    whole_dialog = {"HX-Retarget": "#dialog", "HX-Reselect": "#dialog", "HX-Reswap": "outerHTML"}
    for name, value in (whole_dialog | {"Cache-Control": "no-store"}).items():
        response.headers[name] = value
    return response
