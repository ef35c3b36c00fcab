"""The audit: who did what, when, from where, and why. It is read here, and written by what happens."""

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import audit, scope
from accounts.models import AuditEntry, User
from sessions_admin import audit_words, display
from sessions_admin.admin import audit_export
from sessions_admin.admin.base import ReadOnlyAdmin, actor_of
from sessions_admin.pages.audit import page_of
from sessions_admin.visibility import list_of

LONGEST_KEY = 18  # digits; a longer number fits no column


class PersonFilter(admin.SimpleListFilter):
    title = gettext_lazy("person")
    parameter_name = "person"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        people = scope.seen_by(actor_of(request), User.objects.all())
        return [(str(pk), name) for pk, name in people.order_by("username").values_list("pk", "username")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        key = self.value()
        if key is None:
            return queryset
        return queryset.filter(actor=int(key)) if key.isdecimal() and len(key) <= LONGEST_KEY else queryset.none()


class CodeFilter(admin.SimpleListFilter):
    """The codes that there are, each with its words."""

    column: str
    words: Callable[[str], str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        there = scope.seen_by(actor_of(request), AuditEntry.objects.exclude(**{self.column: ""}))
        codes = there.order_by(self.column).values_list(self.column, flat=True).distinct()
        return sorted(((code, self.words(code)) for code in codes), key=lambda choice: choice[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset if self.value() is None else queryset.filter(**{self.column: self.value()})


class ActionFilter(CodeFilter):
    title = gettext_lazy("action")
    parameter_name = column = "action"
    words = staticmethod(audit_words.action)


class KindFilter(CodeFilter):
    title = gettext_lazy("kind of object")
    parameter_name = column = "model"
    words = staticmethod(audit_words.kind)


class RefusedFilter(admin.SimpleListFilter):
    title = gettext_lazy("result")
    parameter_name = "refused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", gettext_lazy("Done")), ("yes", gettext_lazy("Refused"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        if self.value() == "yes":
            return queryset.exclude(refused="")
        return queryset.filter(refused="") if self.value() == "no" else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ["moment", "who", "deed", "object_name", "workspace", "result", "reason"]
    list_select_related = ["workspace"]
    list_filter = [("at", admin.DateFieldListFilter), PersonFilter, ActionFilter, KindFilter, "workspace"]
    list_filter += [RefusedFilter]
    linked_by = ("model", "object_id")
    search_fields = ["who", "object_name", "=object_id", "=request_id", "=address"]
    search_help_text = gettext_lazy("Person, object, request or address")
    ordering = ["-pk"]
    raw = ["at", "who", "action", "workspace", "model", "object_id", "object_name", "before", "after"]
    raw += ["reason", "refused", "address", "request_id"]
    fieldsets = [(gettext_lazy("Raw data"), {"classes": ["collapse"], "fields": raw})]
    list_before_template = "sessions_admin/audit_list.html"
    change_form_outer_before_template = "sessions_admin/audit_entry.html"

    @admin.display(description=gettext_lazy("when"), ordering="at")
    def moment(self, entry: AuditEntry) -> SafeString:
        return display.when(entry.at)

    @admin.display(description=gettext_lazy("action"), ordering="action")
    def deed(self, entry: AuditEntry) -> str:
        return audit_words.action(entry.action)

    @admin.display(description=gettext_lazy("result"))
    def result(self, entry: AuditEntry) -> SafeString:
        return display.dot("wait", _("refused")) if entry.refused else display.dot("good", _("done"))

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        entry = self.get_object(request, object_id) if object_id else None
        shown = {"desk": page_of(request, entry), "subtitle": audit_words.action(entry.action)} if entry else {}
        context = (extra_context or {}) | shown
        return cast(HttpResponse, super().changeform_view(request, object_id, form_url, context))

    # --- the export -------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        export = path("export/", self.admin_site.admin_view(self.export), name="accounts_auditentry_export")
        return [export, *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """What the list shows, with its filters and search, as CSV. It is a POST because it leaves an entry itself."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            entries = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(list_of(AuditEntry))
        own = audit.record("auditentry.export", actor=actor_of(request), after={"filter": request.GET.urlencode()})
        return audit_export.response(request, entries.filter(pk__lt=own.pk))  # what the reader has seen
