"""The audit: who did what, when, from where, and why. It is read here, and written by what happens."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from accounts.models import AuditEntry
from sessions_admin import display
from sessions_admin.admin.base import ReadOnlyAdmin


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ["moment", "who", "action", "object_name", "workspace", "reason"]
    list_select_related = ["workspace"]
    list_filter = ["action", "workspace"]
    search_fields = ["who", "object_name", "=object_id", "=request_id"]
    search_help_text = gettext_lazy("Person, object or request")
    ordering = ["-pk"]
    fields = ["at", "who", "action", "workspace", "model", "object_id", "object_name", "before", "after"]
    fields += ["reason", "address", "request_id"]

    @admin.display(description=gettext_lazy("when"), ordering="at")
    def moment(self, entry: AuditEntry) -> SafeString:
        return display.when(entry.at)
