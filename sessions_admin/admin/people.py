"""Who may do what: users, groups, workspaces, and the tokens of the operator API."""

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User, Workspace
from api.models import WorkspaceToken
from sessions_admin import cells
from sessions_admin.admin.base import (
    ActionVariant,
    AdminPasswordChangeForm,
    DialogForm,
    ModelAdmin,
    UserChangeForm,
    UserCreationForm,
    dialog_action,
    done,
)

admin.site.unregister(Group)
# Whoever could set these could make a superuser of themselves.
POWERS = ["is_staff", "is_superuser", "groups", "user_permissions"]


class SuperusersOnly:
    """For pages on which one could give oneself every right."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return _is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return _is_superuser(request)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "first_name", "last_name", "is_staff", "is_active", "last_login"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        (gettext_lazy("Person"), {"fields": ["first_name", "last_name", "email", "time_zone"]}),
        (gettext_lazy("Permissions"), {"fields": ["is_active", *POWERS]}),
        (gettext_lazy("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]
    readonly_fields = ["last_login", "date_joined"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.readonly_fields, *([] if _is_superuser(request) else POWERS)]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_touch(request, obj) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_touch(request, obj) and bool(super().has_delete_permission(request, obj))


@admin.register(Group)
class GroupAdmin(SuperusersOnly, DjangoGroupAdmin, ModelAdmin):
    pass


@admin.register(Workspace)
class WorkspaceAdmin(ModelAdmin):
    list_display = ["name", "accounts_here", "time_zone", "created_at"]
    search_fields = ["name", "=id"]
    search_help_text = gettext_lazy("Name or id")
    autocomplete_fields = ["members"]
    fields = ["name", "time_zone", "members"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        live = Count("accounts", filter=Q(accounts__deleted_at__isnull=True))
        return cast(QuerySet[Any], super().get_queryset(request).annotate(live=live))

    @admin.display(description=gettext_lazy("accounts"), ordering="live")
    def accounts_here(self, workspace: Any) -> SafeString:
        return cells.number(workspace.live)


@admin.register(WorkspaceToken)
class WorkspaceTokenAdmin(ModelAdmin):
    """Shown once when it is made, then only revoked."""

    list_display = ["title", "workspace", "state", "prefix", "created_at", "used"]
    list_select_related = ["workspace"]
    autocomplete_fields = ["workspace"]
    list_filter = ["workspace", ("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "prefix", "workspace__name"]
    search_help_text = gettext_lazy("Name, first letters or workspace")
    ordering = ["-pk"]
    add_fieldsets = [(None, {"fields": ["workspace", "name"]})]
    fields = ["workspace", "name", "prefix", "created_at", "expires_at", "revoked_at", "last_used_at"]
    actions_detail = ["revoke"]

    @admin.display(description=gettext_lazy("token"), ordering="name")
    def title(self, token: WorkspaceToken) -> str:
        return str(token)

    @admin.display(description=gettext_lazy("state"), ordering="revoked_at")
    def state(self, token: WorkspaceToken) -> SafeString:
        return cells.dot("bad", _("revoked")) if token.revoked_at else cells.dot("good", _("active"))

    @admin.display(description=gettext_lazy("last used"), ordering="last_used_at")
    def used(self, token: WorkspaceToken) -> SafeString | str:
        return cells.age(token.last_used_at)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, "change_workspacetoken")

    def save_model(self, request: HttpRequest, obj: WorkspaceToken, form: Any, change: bool) -> None:
        token = WorkspaceToken.issue(obj.workspace_id, name=obj.name)
        obj.pk = WorkspaceToken.objects.filter(workspace=obj.workspace_id, prefix=token[:10]).latest("pk").pk
        obj.refresh_from_db()
        note = _("Copy the token now, it cannot be shown again: %(token)s") % {"token": token}
        self.message_user(request, note, messages.WARNING)

    @dialog_action(
        gettext_lazy("Revoke"),
        permission="revoke",
        icon="key_off",
        variant=ActionVariant.DANGER,
        consequence=gettext_lazy("Programs that use this token are refused at once."),
    )
    def revoke(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        token = self.find(request, object_id)
        token.revoke()
        self.message_user(request, _("The token was revoked."), messages.SUCCESS)
        return done(request, reverse("admin:api_workspacetoken_change", args=[token.pk]))


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


def _may_touch(request: HttpRequest, user: Any) -> bool:
    """A superuser's account is for superusers: its e-mail and password are the keys to everything."""
    return user is None or not user.is_superuser or _is_superuser(request)
