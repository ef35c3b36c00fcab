"""The admin of facts about bridges: incidents, their processes, and what each reconcile found and did."""

from typing import Any

from django.contrib import admin
from django.db.models import F
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import BridgeProcess, Incident, ReconcileRun
from sessions_admin import display
from sessions_admin.admin.base import ReadOnlyAdmin, age_of
from sessions_admin.admin.filters import ClosedFilter
from sessions_admin.labels import INCIDENTS


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    list_display = ["what", "state", "bridge", "summary", "times", "since", "last"]
    list_select_related = ["bridge"]
    list_filter = [ClosedFilter, "kind", "bridge"]
    search_fields = ["bridge__name", "summary"]
    search_help_text = gettext_lazy("Bridge, or what was seen")
    ordering = [F("closed_at").desc(nulls_first=True), "-pk"]
    list_before_template = "sessions_admin/list_note.html"
    list_note = gettext_lazy("One line for each thing that is wrong with a bridge, however many sessions it touches.")
    fields = ["what", "state", "bridge", "meaning", "todo", "summary", "count", "opened_at", "last_at", "closed_at"]
    readonly_fields = ["what", "state", "meaning", "todo"]

    @admin.display(description=gettext_lazy("incident"), ordering="kind")
    def what(self, incident: Incident) -> str:
        return incident.get_kind_display()

    @admin.display(description=gettext_lazy("state"), ordering="closed_at")
    def state(self, incident: Incident) -> SafeString:
        return display.dot("muted", _("over")) if incident.closed_at else display.dot("bad", _("open"))

    @admin.display(description=gettext_lazy("times"), ordering="count")
    def times(self, incident: Incident) -> SafeString:
        return display.number(incident.count)

    since = age_of("-opened_at", gettext_lazy("since"))

    last = age_of("-last_at", gettext_lazy("last"))

    @admin.display(description=gettext_lazy("what it means"))
    def meaning(self, incident: Incident) -> str:
        return str(INCIDENTS[incident.kind].meaning)

    @admin.display(description=gettext_lazy("what to do"))
    def todo(self, incident: Incident) -> str:
        return str(INCIDENTS[incident.kind].todo)


@admin.register(BridgeProcess)
class BridgeProcessAdmin(ReadOnlyAdmin):
    list_display = ["boot", "bridge", "first", "last", "replaced"]
    list_select_related = ["bridge"]
    list_filter = ["bridge"]
    search_fields = ["bridge__name", "boot"]
    search_help_text = gettext_lazy("Bridge or process")
    ordering = ["-pk"]
    fields = ["boot", "bridge", "first_seen_at", "last_seen_at", "took_over_at", "first_replaced_at", "replaced_at"]

    first = age_of("-first_seen_at", gettext_lazy("first seen"))

    last = age_of("-last_seen_at", gettext_lazy("last seen"))

    replaced = age_of("-replaced_at", gettext_lazy("replaced"))


def _figure(field: str, title: Any) -> Any:
    """Make a column of numbers whose digits line up."""

    @admin.display(description=title, ordering=field)
    def show(run: ReconcileRun) -> SafeString:
        return display.number(getattr(run, field))

    return show


@admin.register(ReconcileRun)
class ReconcileRunAdmin(ReadOnlyAdmin):
    list_display = [
        "moment",
        "bridge",
        _figure("running", gettext_lazy("runs")),
        _figure("expected", gettext_lazy("should run")),
        _figure("absent", gettext_lazy("absent")),
        _figure("restored", gettext_lazy("restored")),
        _figure("stopped", gettext_lazy("stopped")),
        _figure("unknown", gettext_lazy("unknown")),
        "remark",
    ]
    list_select_related = ["bridge"]
    list_filter = ["bridge", "observing"]
    search_fields = ["bridge__name", "note"]
    search_help_text = gettext_lazy("Bridge or note")
    ordering = ["-pk"]
    list_before_template = "sessions_admin/list_note.html"
    list_note = gettext_lazy("What a bridge runs, compared with what it should run: what was seen, and what was done.")

    @admin.display(description=gettext_lazy("when"), ordering="at")
    def moment(self, run: ReconcileRun) -> SafeString:
        return display.when(run.at)

    @admin.display(description=gettext_lazy("note"))
    def remark(self, run: ReconcileRun) -> str:
        observed = [_("only observed")] if run.observing else []
        return "; ".join([*observed, *([run.note] if run.note else [])]) or "–"
