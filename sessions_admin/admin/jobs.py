"""The admin of background work: who holds a job, when it last ran, and whether the workers answer."""

from datetime import timedelta

from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Lease, Pulse
from api.health import WORKER_STUCK_AFTER
from sessions_admin import display, labels
from sessions_admin.admin.base import ReadOnlyAdmin, age_of


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    list_display = ["job", "state", "taken", "released", "result"]
    search_fields = ["name", "result"]
    search_help_text = gettext_lazy("Name or result")
    ordering = ["name"]
    fields = ["name", "state", "holder", "taken_at", "until", "released_at", "result"]
    readonly_fields = ["state"]
    list_before_template = "sessions_admin/list_note.html"
    list_note = gettext_lazy("What one worker at a time does, and each bridge's line for orders.")

    @admin.display(description=gettext_lazy("job"), ordering="name")
    def job(self, lease: Lease) -> str:
        return labels.job(lease.name)

    @admin.display(description=gettext_lazy("state"))
    def state(self, lease: Lease) -> SafeString:
        if not lease.holder and lease.result.startswith("failed"):
            return display.dot("bad", _("failed"))
        if not lease.holder:
            return display.dot("muted", _("at rest"))
        # A holder past its time counts as dead: the next one takes the lease over.
        return (
            display.dot("accent", _("at work")) if lease.until > timezone.now() else display.dot("wait", _("abandoned"))
        )

    taken = age_of("-taken_at", gettext_lazy("last taken"))

    released = age_of("-released_at", gettext_lazy("last released"))


@admin.register(Pulse)
class PulseAdmin(ReadOnlyAdmin):
    list_display = ["lane", "state", "asked", "answered"]
    search_fields = ["lane"]
    ordering = ["lane"]
    list_before_template = "sessions_admin/list_note.html"
    list_note = gettext_lazy("Each lane of the queue is asked for a sign of life; a worker of that lane answers.")

    @admin.display(description=gettext_lazy("state"), ordering="answered_at")
    def state(self, pulse: Pulse) -> SafeString:
        silent_since = timezone.now() - timedelta(seconds=WORKER_STUCK_AFTER)
        if pulse.answered_at is not None and pulse.answered_at >= silent_since:
            return display.dot("good", _("answers"))
        return display.dot("bad", _("silent"))

    asked = age_of("-asked_at", gettext_lazy("last asked"))

    answered = age_of("-answered_at", gettext_lazy("last answered"))
