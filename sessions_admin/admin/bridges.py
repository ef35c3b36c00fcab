"""Bridges, the secrets we share with them, and the orders they get."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Bridge, BridgeOrder, BridgeSecret
from sessions_admin import cells
from sessions_admin.admin.base import (
    ActionVariant,
    DialogForm,
    ModelAdmin,
    ReadOnlyAdmin,
    TabularInline,
    UnfoldAdminPasswordWidget,
    dialog_action,
    done,
)


class BridgeForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = Bridge
        fields = ["capabilities"]

    def clean_capabilities(self) -> list[str]:
        """An empty box means none. Anything but words would break what asks for one of them."""
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
        url = reverse("admin:accounts_bridgesecret_change", args=[secret.pk])
        return format_html('<a class="ld-link" href="{}">{} #{}</a>', url, secret.get_kind_display(), secret.pk)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewSecret(TabularInline):
    """Write-only: who may neither view nor change rows gets none of them, only an empty line."""

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
class BridgeAdmin(ModelAdmin):
    form = BridgeForm
    list_display = ["name", "url", "runs", "load", "heard", "kind"]
    list_filter = ["draining", "library"]
    search_fields = ["name", "url", "library", "version"]
    search_help_text = gettext_lazy("Name, URL, library or version")
    autocomplete_fields = ["workspaces"]
    fields = ["name", "url", "workspaces", "capacity", "weight", "draining", "library", "version", "capabilities"]
    inlines = [SecretList, NewSecret]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        running = Count("sessions", filter=Q(sessions__ended_at__isnull=True))
        return cast(QuerySet[Any], super().get_queryset(request).annotate(running=running))

    @admin.display(description=gettext_lazy("state"), ordering="draining")
    def runs(self, bridge: Bridge) -> SafeString:
        return cells.dot("wait", _("draining")) if bridge.draining else cells.dot("good", _("in service"))

    @admin.display(description=gettext_lazy("sessions"), ordering="running")
    def load(self, bridge: Any) -> SafeString:
        return cells.number(f"{bridge.running} / {bridge.capacity}")

    @admin.display(description=gettext_lazy("last heard of"), ordering="last_heard_at")
    def heard(self, bridge: Bridge) -> SafeString | str:
        return cells.age(bridge.last_heard_at)

    @admin.display(description=gettext_lazy("library"), ordering="library")
    def kind(self, bridge: Bridge) -> str:
        return f"{bridge.library} {bridge.version}".strip() or "–"


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
        return done(request, reverse("admin:accounts_bridge_change", args=[secret.bridge_id]))


@admin.register(BridgeOrder)
class BridgeOrderAdmin(ReadOnlyAdmin):
    list_display = ["name", "status", "session", "bridge", "attempts", "made", "error"]
    list_select_related = ["session", "bridge"]
    list_filter = ["state", "kind", "bridge"]
    search_fields = ["session__session_id", "session__account__label", "session__account__phone_number", "error"]
    search_help_text = gettext_lazy("Session id, account, phone number or problem")
    phone_lookup = "session__account__phone_number"
    ordering = ["-pk"]

    @admin.display(description=gettext_lazy("order"), ordering="kind")
    def name(self, order: BridgeOrder) -> str:
        return f"{order.get_kind_display()} #{order.pk}"

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def status(self, order: BridgeOrder) -> SafeString:
        return cells.dot(cells.ORDER_TONES[order.state], order.get_state_display())

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def made(self, order: BridgeOrder) -> SafeString | str:
        return cells.age(order.created_at)
