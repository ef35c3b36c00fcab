"""The admin of workspaces, and of the tokens of the operator API."""

from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Exists, Model, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Bridge, Workspace
from api.authentication import TO_GIVE
from api.models import Scope, WorkspaceToken
from sessions_admin import display
from sessions_admin.admin.auditing import noting
from sessions_admin.admin.base import (
    ActionVariant,
    DialogForm,
    ModelAdmin,
    ReadOnlyAdmin,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextInputWidget,
    actor_of,
    age_of,
    dialog_action,
    done,
    show_once,
)
from sessions_admin.admin.workspace_form import WorkspaceForm
from sessions_admin.visibility import page_of_row

SCOPES = {
    Scope.READ: gettext_lazy("read: see accounts and pairings"),
    Scope.LINK: gettext_lazy("link: begin pairings"),
    Scope.MANAGE: gettext_lazy("manage: reset accounts"),
}


class SuperusersOnly:
    """For pages on which a user could give themselves every permission."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_superuser(request)


class NewTokenForm(DialogForm):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=WorkspaceToken._meta.get_field("name").max_length,
        help_text=gettext_lazy("What will use it, such as: cash desk of the shop"),
        widget=UnfoldAdminTextInputWidget(),
    )
    scopes = forms.MultipleChoiceField(label=gettext_lazy("Scopes"), widget=UnfoldAdminCheckboxSelectMultipleWidget())
    days = forms.IntegerField(
        label=gettext_lazy("Expires after, in days"),
        required=False,
        min_value=1,
        max_value=3650,
        help_text=gettext_lazy("Empty: it works until somebody revokes it."),
        widget=UnfoldAdminIntegerFieldWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scopes"].choices = _scopes_to_give(self.request)  # a POST of any other is a form error


@admin.register(Workspace)
class WorkspaceAdmin(ModelAdmin):
    form = WorkspaceForm
    list_display = ["name", "accounts_here", "created_at"]
    ordering = ["name"]
    search_fields = ["name", "=id"]
    search_help_text = gettext_lazy("Name or id")
    autocomplete_fields = ["members"]
    fields = ["name", "country", "members"]
    fields += ["messages_per_minute", "lifecycle_per_minute", "qr_per_minute", "others_per_minute"]
    fields += ["keeps_statuses", "keeps_newsletters"]

    actions_detail = ["new_token"]

    def get_form(self, request: HttpRequest, obj: Workspace | None = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)  # a class of this request alone
        form.editor = actor_of(request)
        return form

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        live = Count("accounts", filter=Q(accounts__deleted_at__isnull=True))
        return cast(QuerySet[Any], super().get_queryset(request).annotate(live=live))

    @admin.display(description=gettext_lazy("accounts"), ordering="live")
    def accounts_here(self, workspace: Any) -> SafeString:
        return display.number(workspace.live)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Who makes a workspace without seeing all of them becomes its member: it would be out of their sight."""
        super().save_related(request, form, formsets, change)
        actor = actor_of(request)
        if not change and not actor.sees_all:
            form.instance.members.add(actor)

    def has_new_token_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        may_add = self.has_view_permission(request) and request.user.has_perm("api.add_workspacetoken")
        return bool(may_add and _scopes_to_give(request))

    def get_deleted_objects(self, objs: Iterable[Workspace], request: HttpRequest) -> tuple[Any, ...]:
        """The delete page and the action use this. Without its last workspace a bridge would serve every customer."""
        *found, protected = super().get_deleted_objects(objs, request)
        bridges = _serving_only([workspace.pk for workspace in objs])
        return *found, [*protected, *(_would_open(bridge) for bridge in bridges)]

    @dialog_action(
        gettext_lazy("New token"),
        permission="new_token",
        form=NewTokenForm,
        icon="vpn_key",
        consequence=gettext_lazy("Lets a program act for this workspace through the operator API. It is shown once."),
    )
    def new_token(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        workspace, asked = self.find(request, object_id), form.cleaned_data
        scopes = " ".join(asked["scopes"])
        token = WorkspaceToken.issue(workspace.pk, name=asked["name"], scopes=scopes, expires_in_days=asked["days"])
        noting(request).more["prefix"] = token[:10]  # by which the audit names the program from now on
        note = _("Copy it into the program that will use it. It cannot be shown again.")
        return show_once(request, title=_("New token"), note=note, secret=token, url=page_of_row(workspace))


@admin.register(WorkspaceToken)
class WorkspaceTokenAdmin(ReadOnlyAdmin):
    """Made on the page of its workspace; here it can be revoked. Only its first letters are ever shown again."""

    list_display = ["title", "workspace", "state", "prefix", "created_at", "used"]
    list_select_related = ["workspace"]
    list_filter = ["workspace", ("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "prefix", "workspace__name"]
    search_help_text = gettext_lazy("Name, first letters or workspace")
    ordering = ["-pk"]
    fields = ["workspace", "name", "scopes", "prefix", "created_at", "expires_at", "revoked_at", "last_used_at"]
    actions_detail = ["revoke"]

    @admin.display(description=gettext_lazy("token"), ordering="name")
    def title(self, token: WorkspaceToken) -> str:
        return str(token)

    @admin.display(description=gettext_lazy("state"), ordering="revoked_at")
    def state(self, token: WorkspaceToken) -> SafeString:
        return display.dot("bad", _("revoked")) if token.revoked_at else display.dot("good", _("active"))

    used = age_of("last_used_at", gettext_lazy("last used"))

    def has_revoke_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, "change_workspacetoken")

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
        return done(request, page_of_row(token))


def _scopes_to_give(request: HttpRequest) -> list[tuple[Scope, Promise]]:
    """A token must not be a way around the admin: users give it only scopes that they have themselves."""
    return [(scope, text) for scope, text in SCOPES.items() if actor_of(request).has_perms(TO_GIVE[scope])]


def _serving_only(workspace_ids: list[int]) -> QuerySet[Bridge]:
    chosen = Bridge.workspaces.through.objects.filter(bridge=OuterRef("pk"))
    others = chosen.exclude(workspace__in=workspace_ids)
    return Bridge.objects.filter(Exists(chosen), ~Exists(others)).order_by("name")


def _would_open(bridge: Bridge) -> SafeString:
    text = _(
        "No other workspace is chosen for this bridge, so it would serve all of them. Choose another one for it first, "
        "or delete it."
    )
    return format_html('<a class="ld-link" href="{}">{}</a>: {}', page_of_row(bridge), bridge, text)


def is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)
