"""Bridges, the secrets we share with them, and the orders they get."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.bridges import choosing
from accounts.models import Bridge, BridgeOrder, BridgeSecret, LinkSession, Workspace
from accounts.reconcile import polling
from sessions_admin import bridge_display, display
from sessions_admin.admin.base import (
    ActionVariant,
    DialogForm,
    ReadOnlyAdmin,
    TabularInline,
    UnfoldAdminPasswordWidget,
    age_of,
    dialog_action,
    done,
)
from sessions_admin.admin.phone_search import of_account
from sessions_admin.admin.shared_bridges import SharedBridges, sees_all
from sessions_admin.pages.bridge import page_of
from sessions_admin.visibility import page_of_row


class BridgeForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = Bridge
        fields = ["capabilities"]
        help_texts = {
            "capacity": gettext_lazy("Sessions it may run at once. What the bridge says itself counts."),
            "capabilities": gettext_lazy('As its /health names them, such as "logout". What it says itself counts.'),
        }

    def clean_workspaces(self) -> QuerySet[Workspace]:
        """Refuse to drop a workspace with open sessions there: the bridge would see nothing of it any more."""
        served: QuerySet[Workspace] = self.cleaned_data["workspaces"]
        if self.instance.pk is None or not served:  # when none is named, it serves all
            return served
        running = LinkSession.objects.filter(bridge=self.instance, ended_at__isnull=True)
        left = Workspace.objects.filter(accounts__sessions__in=running).exclude(pk__in=served)
        if before := list(self.instance.workspaces.values_list("pk", flat=True)):
            left = left.filter(pk__in=before)
        if names := sorted(set(left.values_list("name", flat=True))):
            text = _("It runs open sessions of %(names)s, which it would not serve any more. Move or reset them first.")
            raise ValidationError(text % {"names": ", ".join(names)})
        return served

    def clean_capabilities(self) -> list[str]:
        """An empty box means none. Any value but a list of words would break the code that looks for one."""
        names: Any = self.cleaned_data["capabilities"] or []
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise ValidationError(_('Write a list of words, such as ["logout"], or leave it empty.'))
        return names


class NewSecretForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = BridgeSecret
        fields = ["kind", "value"]
        # A password field is not filled in again, not even after an error.
        widgets = {"value": UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})}


class SecretList(TabularInline):
    """The secrets there are, without their values."""

    model = BridgeSecret
    verbose_name_plural = gettext_lazy("secrets")
    fields = readonly_fields = ["name", "created_at", "retired_at"]
    ordering = ["-pk"]
    hide_title = True
    can_delete = False

    @admin.display(description=gettext_lazy("secret"))
    def name(self, secret: BridgeSecret) -> SafeString:
        link = '<a class="ld-link" href="{}">{} #{}</a>'
        return format_html(link, page_of_row(secret), secret.get_kind_display(), secret.pk)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewSecret(TabularInline):
    """Write-only: a user who may neither view nor change rows gets none of them, only an empty line."""

    model = BridgeSecret
    form = NewSecretForm
    verbose_name = gettext_lazy("new secret")
    verbose_name_plural = gettext_lazy("add a secret")
    max_num = 1  # the form sees a duplicate of what is stored, not of its own second line
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Bridge)
class BridgeAdmin(SharedBridges):
    form = BridgeForm
    list_display = ["name", "state", "kind", "load", "pairings", "closed_because"]
    list_filter = ["draining", "library"]
    search_fields = ["name", "url", "library", "version"]
    search_help_text = gettext_lazy("Name, URL, library or version")
    autocomplete_fields = ["workspaces"]
    fields = ["name", "url", "workspaces", "capacity", "pairings_at_once", "weight", "draining"]
    fields += ["library", "version", "capabilities"]
    inlines = [SecretList, NewSecret]
    actions_detail = ["allow_version_1"]
    change_form_outer_before_template = "sessions_admin/bridge_page.html"

    @admin.display(description=gettext_lazy("state"), ordering="last_heard_at")
    def state(self, bridge: Bridge) -> SafeString:
        return bridge_display.state(bridge)

    @admin.display(description=gettext_lazy("library"), ordering="library")
    def kind(self, bridge: Bridge) -> SafeString | str:
        return bridge_display.library(bridge)

    @admin.display(description=gettext_lazy("sessions"), ordering="running")
    def load(self, bridge: Bridge) -> SafeString:
        return display.number(bridge_display.load(bridge))

    @admin.display(description=gettext_lazy("pairings"), ordering="pairing")
    def pairings(self, bridge: Bridge) -> SafeString:
        return display.number(bridge_display.pairings(bridge))

    @admin.display(description=gettext_lazy("takes no new session"))
    def closed_because(self, bridge: Bridge) -> str:
        return ", ".join(choosing.why_not(bridge)) or "–"

    def get_readonly_fields(self, request: HttpRequest, obj: Bridge | None = None) -> list[str]:
        """Fields that a bridge reports itself are read-only: its next heartbeat would put them back."""
        says_so = obj is not None and bridge_display.speaks_for_itself(obj)
        told = ["capacity", "library", "version", "capabilities"] if says_so else []
        return [*super().get_readonly_fields(request, obj), *told]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        bridge = self.get_object(request, object_id) if object_id and sees_all(request) else None
        context = (extra_context or {}) | ({"desk": page_of(bridge, request)} if bridge else {})
        return cast(HttpResponse, super().changeform_view(request, object_id, form_url, context))

    def is_offered(self, action: str, row: Bridge) -> bool:
        """Version 1 is allowed again only where it is refused."""
        return action != "allow_version_1" or row.version_2_since is not None

    def has_allow_version_1_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return sees_all(request) and self.may(request, "change_bridge")

    @dialog_action(
        gettext_lazy("Allow signature version 1"),
        permission="allow_version_1",
        icon="lock_open",
        variant=ActionVariant.DANGER,
        consequence=gettext_lazy(
            "Only for a bridge that goes back to an older program. Version 1 covers no header: whoever listens on the "
            "way can send its requests again. The next request with version 2 shuts version 1 out again."
        ),
    )
    def allow_version_1(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        bridge = self.find(request, object_id)
        if bridge.allow_version_1():
            self.log_change(request, bridge, "Allowed version 1 of the signature again.")
        self.message_user(request, _("Version 1 of the signature is taken again."), messages.SUCCESS)
        return done(request, page_of_row(bridge))

    def save_model(self, request: HttpRequest, obj: Bridge, form: BridgeForm, change: bool) -> None:
        """Save only the form's fields, so that the bridge's reports since the row was read are kept."""
        names = [name for name in form.cleaned_data if name != "workspaces"]
        obj.save(update_fields=names) if change else super().save_model(request, obj, form, change)
        polling.poll_new(obj.pk)


@admin.register(BridgeSecret)
class BridgeSecretAdmin(ReadOnlyAdmin):
    """Added on the page of its bridge; here it can be retired. Its value is never shown."""

    list_display = ["name", "bridge", "kind", "created_at", "retired_at"]
    list_select_related = ["bridge"]
    list_filter = ["kind", ("retired_at", admin.EmptyFieldListFilter)]
    search_fields = ["bridge__name"]
    search_help_text = gettext_lazy("Bridge")
    ordering = ["-pk"]
    fields = ["bridge", "kind", "created_at", "retired_at"]
    actions_detail = ["retire"]

    @admin.display(description=gettext_lazy("secret"), ordering="pk")
    def name(self, secret: BridgeSecret) -> str:
        return f"#{secret.pk}"

    def has_retire_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, "change_bridgesecret")

    @dialog_action(
        gettext_lazy("Retire"),
        permission="retire",
        icon="key_off",
        variant=ActionVariant.DANGER,
        consequence=gettext_lazy(
            "The bridge must use another secret already: whatever it signs with this one is refused within seconds."
        ),
    )
    def retire(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        secret = self.find(request, object_id)
        secret.retire()
        self.message_user(request, _("The secret was retired."), messages.SUCCESS)
        return done(request, page_of_row(secret.bridge))


@admin.register(BridgeOrder)
class BridgeOrderAdmin(ReadOnlyAdmin):
    list_display = ["name", "status", "session", "bridge", "attempts", "made", "error"]
    list_select_related = ["session", "bridge"]
    list_filter = ["state", "kind", "bridge"]
    search_fields = ["session__session_id", "session__account__label", "session__account__phone_number", "error"]
    search_help_text = gettext_lazy("Session id, account, phone number or problem")
    phone_columns = of_account("session__account__")
    ordering = ["-pk"]

    @admin.display(description=gettext_lazy("order"), ordering="kind")
    def name(self, order: BridgeOrder) -> str:
        return f"{order.get_kind_display()} #{order.pk}"

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def status(self, order: BridgeOrder) -> SafeString:
        return display.dot(display.ORDER_TONES[order.state], order.get_state_display())

    made = age_of("created_at", gettext_lazy("created"))
