"""Sessions that a bridge runs and the desk does not know: staff decide what becomes of them."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.access.changes import Change
from accounts.models import StraySession
from accounts.reconcile import adoption, unknown
from sessions_admin import display
from sessions_admin.admin.auditing import note, of_several_transactions
from sessions_admin.admin.base import ActionVariant, DialogForm, ReadOnlyAdmin, actor_of, age_of, dialog_action, done
from sessions_admin.admin.filters import SettledFilter
from sessions_admin.admin.stray_forms import AdoptForm, AdoptManyForm
from sessions_admin.visibility import page_of_row


@admin.register(StraySession)
class StraySessionAdmin(ReadOnlyAdmin):
    # These rows are few, and a user who selects all of them must see their number.
    paginator = Paginator
    list_display = ["session_id", "bridge", "phone", "said", "whose", "last"]
    list_select_related = ["bridge"]
    list_filter = [SettledFilter, "bridge", "outcome"]
    search_fields = ["session_id", "phone_number", "bridge__name"]
    search_help_text = gettext_lazy("Session id, phone number or bridge")
    phone_columns = ("phone_number", "phone_key")
    ordering = ["-pk"]
    list_before_template = "sessions_admin/list_note.html"
    list_note = gettext_lazy(
        "Sessions that a bridge runs and this desk has no record of, such as after a backup was restored. Nothing "
        "happens to them by itself: adopt those that are links, stop the others."
    )
    fields = ["session_id", "state", "bridge", "phone", "said", "workspace_said"]
    fields += ["first_seen_at", "last_seen_at", "settled_at"]
    readonly_fields = ["state", "phone", "said"]
    actions = ["adopt_selected"]
    actions_detail = ["adopt", "stop"]

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Show the state only when settled rows are listed too; otherwise all of them wait."""
        return [*self.list_display, *(["state"] if SettledFilter.parameter_name in request.GET else [])]

    @admin.display(description=gettext_lazy("state"), ordering="settled_at")
    def state(self, stray: StraySession) -> SafeString:
        if stray.settled_at is None:
            return display.dot("wait", _("waiting"))
        return display.dot(display.STRAY_TONES.get(stray.outcome, "muted"), stray.get_outcome_display())

    @admin.display(description=gettext_lazy("phone number"), ordering="phone_number")
    def phone(self, stray: StraySession) -> SafeString:
        return display.number(display.phone(stray.phone_number))

    @admin.display(description=gettext_lazy("the bridge says"), ordering="status")
    def said(self, stray: StraySession) -> str:
        return stray.status or "–"

    @admin.display(description=gettext_lazy("workspace"), ordering="workspace_said")
    def whose(self, stray: StraySession) -> str:
        return stray.workspace_said or "–"

    last = age_of("-last_seen_at", gettext_lazy("last seen"))

    # --- what staff can do ------------------------------------------------------------------------
    def has_settle_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, "change_straysession")

    @dialog_action(
        gettext_lazy("Adopt"),
        permission="settle",
        form=AdoptForm,
        icon="person_add",
        variant=ActionVariant.PRIMARY,
        consequence=gettext_lazy(
            "Makes it a link of this desk: of the account that has its phone, or of a new one. Nothing changes on the "
            "phone."
        ),
    )
    def adopt(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        stray, workspace = self.find(request, object_id), form.cleaned_data["workspace"]
        with self.told(request, unknown.NotPossible, _("The session was adopted. This is its account.")):
            session = adoption.adopt(stray.pk, workspace_id=workspace.pk, actor=actor_of(request))
            session.refresh_from_db()  # its phone may have given it to another account
            return done(request, page_of_row(session.account))
        return done(request, page_of_row(stray))

    @dialog_action(
        gettext_lazy("Stop"),
        permission="settle",
        icon="stop_circle",
        variant=ActionVariant.DANGER,
        consequence=gettext_lazy(
            "Tells the bridge to stop it. If it is somebody's link, it stops working. Its device stays under Linked "
            "devices on the phone until the person removes it."
        ),
    )
    def stop(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        stray = self.find(request, object_id)
        with self.told(request, unknown.NotPossible, _("The bridge is told to stop it.")):
            unknown.stop(stray.pk)
        return done(request, page_of_row(stray))

    @of_several_transactions
    @admin.action(description=gettext_lazy("Adopt selected"), permissions=["settle"])
    def adopt_selected(self, request: HttpRequest, queryset: QuerySet[StraySession]) -> HttpResponse:
        """The list posts here: the first page asks where each session belongs, the second one shows the results."""
        is_confirmed = "confirmed" in request.POST
        if is_confirmed:  # this includes rows that somebody else has settled meanwhile, which the list leaves out
            queryset = self.get_queryset(request).filter(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME))
        chosen = list(queryset.select_related("bridge")[: self.list_per_page])
        offered = actor_of(request).workspaces_seen()
        form = AdoptManyForm(chosen, request.POST if is_confirmed else None, offered=offered)
        became: dict[int, str] = {}
        if form.is_valid():
            for workspace_id, ids in form.by_workspace().items():
                became |= adoption.adopt_many(ids, workspace_id=workspace_id, actor=actor_of(request))
        self._note_refusals(request, [stray for stray in chosen if became.get(stray.pk)], became)
        context = self.admin_site.each_context(request) | {
            "title": _("Adopt selected"),
            "opts": self.opts,
            "rows": [_row(stray, form, became) for stray in chosen],
            "is_done": form.is_valid(),
            "more": self._others(request, chosen),
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return render(request, "sessions_admin/adopt_selected.html", context)

    def _note_refusals(self, request: HttpRequest, left: list[StraySession], why: dict[int, str]) -> None:
        for stray in left:
            note(request, "adopt_selected", stray, Change(), refused=why[stray.pk])

    def _others(self, request: HttpRequest, chosen: list[StraySession]) -> str:
        """Say how many other sessions wait: only one page is adopted at a time, and the rest must not be forgotten."""
        waiting = self.get_queryset(request).filter(settled_at__isnull=True)
        count = waiting.exclude(pk__in=[stray.pk for stray in chosen]).count()
        text = ngettext(
            "%(count)d other session waits in the list. At most %(most)d are adopted at once.",
            "%(count)d other sessions wait in the list. At most %(most)d are adopted at once.",
            count,
        )
        return text % {"count": count, "most": self.list_per_page} if count else ""


def _row(stray: StraySession, form: AdoptManyForm, became: dict[int, str]) -> dict[str, Any]:
    result = display.dot("muted", _("left as it is"))
    if stray.pk in became:
        why_not = became[stray.pk]
        result = display.dot("bad", why_not) if why_not else display.dot("good", _("adopted"))
    return {"stray": stray, "phone": display.phone(stray.phone_number), "field": form[str(stray.pk)], "result": result}
