"""The admin of requests that change nothing: reports of bridges, and counts of unsigned requests."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from accounts.access import bodies
from sessions_admin import display
from sessions_admin.admin.base import CountedAdmin
from sessions_admin.admin.bodies import HoldsTexts
from webhooks.models import StoredReport, UnsignedTraffic


@admin.register(StoredReport)
class StoredReportAdmin(HoldsTexts, CountedAdmin):
    list_display = ["kind", "bridge", "seen", "last"]
    list_select_related = ["bridge"]
    list_filter = ["kind", "bridge"]
    search_fields = ["bridge__name"]
    search_help_text = gettext_lazy("Bridge")
    fields = ["kind", "bridge", "seen", "first_at", "last_at", "data"]
    readonly_fields = ["seen", "data"]
    actions_detail = ["read_body"]

    @admin.display(description=gettext_lazy("data"))
    def data(self, report: StoredReport) -> SafeString:
        return display.folded(bodies.masked(report.payload))


@admin.register(UnsignedTraffic)
class UnsignedTrafficAdmin(CountedAdmin):
    list_display = ["source", "seen", "last"]
    search_fields = ["source"]
    search_help_text = gettext_lazy("Address")
