"""The admin of people and roles. Nobody changes somebody who may more than they do (`accounts/access/rank.py`)."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.access import rank, scope, second_factor
from accounts.models import RolePolicy, User
from sessions_admin import display
from sessions_admin.admin.base import (
    ActionVariant,
    AdminPasswordChangeForm,
    DialogForm,
    ModelAdmin,
    StackedInline,
    actor_of,
    dialog_action,
    done,
)
from sessions_admin.admin.people import SuperusersOnly
from sessions_admin.admin.user_forms import NewUserForm, ReasonForm, UserForm
from sessions_admin.visibility import page_of_row

for model in (Group, TOTPDevice, StaticDevice):  # the pages of the devices would show their secrets
    admin.site.unregister(model)

# Whoever could set these could make themselves a superuser.
OF_SUPERUSERS = ["is_superuser", "user_permissions"]
# Nobody changes these of themselves: who took one from themselves by mistake could not give it back.
OF_OTHERS = ["is_staff", "is_active", "groups", "all_workspaces"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "first_name", "last_name", "is_staff", "is_active", "last_login"]
    fieldsets = [
        (None, {"fields": ["username", "password", "factor"]}),
        (gettext_lazy("Person"), {"fields": ["first_name", "last_name", "email", "time_zone"]}),
        (
            gettext_lazy("Permissions"),
            {"fields": ["is_active", "is_staff", "groups", "all_workspaces", "workspaces", *OF_SUPERUSERS]},
        ),
        (gettext_lazy("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"fields": ["username", "password1", "password2", "is_staff", "workspaces"]})]
    readonly_fields = ["factor", "last_login", "date_joined"]
    actions_detail = ["reset_second_factor"]

    def is_offered(self, action: str, row: User) -> bool:
        return action != "reset_second_factor" or second_factor.app_of(row) is not None

    def get_form(self, request: HttpRequest, obj: User | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        form = super().get_form(request, obj, **kwargs)  # a class of this request alone
        form.editor = actor_of(request)  # type: ignore[attr-defined]
        form.has_choice = self.chooses_workspaces(request, obj)  # type: ignore[attr-defined]
        return form

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            found.reader = actor_of(request)  # read-only fields are asked without the request
        return found

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Who may only look, and the person themselves, see the names of the workspaces; a choice would need a form."""
        found = super().get_fieldsets(request, obj)
        if not self.has_change_permission(request, obj):  # the digest of the password is there for its link alone
            found = [(title, {**of, "fields": [n for n in of["fields"] if n != "password"]}) for title, of in found]
        if self.chooses_workspaces(request, obj):
            return found
        shown = {"workspaces": "works_in"}
        return [
            (title, {**options, "fields": [shown.get(str(name), name) for name in options["fields"]]})
            for title, options in found
        ]

    def chooses_workspaces(self, request: HttpRequest, obj: User | None) -> bool:
        return obj is None or (obj != actor_of(request) and self.has_change_permission(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        editor = actor_of(request)
        powers = [*([] if editor.is_superuser else OF_SUPERUSERS), *([] if editor.sees_all else ["all_workspaces"])]
        return [*self.readonly_fields, "works_in", *powers, *(OF_OTHERS if obj == editor else [])]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs["queryset"] = rank.groups_to_give(actor_of(request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_touch(request, obj) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The page, the list's action, and pages that would delete this row with another all ask here."""
        return _may_touch(request, obj) and bool(super().has_delete_permission(request, obj))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """The entry in the audit goes with the change. One's own is changed where the old one is asked for: whoever
        sits down at an open session does not know it."""
        if unquote(id) == str(actor_of(request).pk):
            return redirect("admin:password_change")
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    @admin.display(description=gettext_lazy("second factor"))
    def factor(self, user: User) -> SafeString:
        if second_factor.app_of(user) is not None:
            return display.dot("good", _("in use"))
        if second_factor.is_required(user):
            return display.dot("wait", _("required, not set up yet"))
        return display.dot("muted", _("not in use"))

    @admin.display(description=gettext_lazy("workspaces"))
    def works_in(self, user: User) -> str:
        """Those of them that the reader sees (`get_object`)."""
        theirs = scope.seen_by(user.reader, user.workspaces.all())  # type: ignore[attr-defined]  # `reader`: as above
        return ", ".join(theirs.values_list("name", flat=True)) or "-"

    def has_reset_second_factor_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not self.may(request, "change_user"):
            return False
        user = self.get_object(request, unquote(object_id)) if object_id else None
        is_another = user is not None and user != request.user
        return object_id is None or (is_another and _may_touch(request, user))

    def why_not(self, request: HttpRequest, permission: str, object_id: str) -> str:
        is_own = permission == "reset_second_factor" and object_id == str(request.user.pk)
        return _("Your own you change under “Second factor”, with a code.") if is_own else ""

    @dialog_action(
        gettext_lazy("Reset second factor"),
        permission="reset_second_factor",
        form=ReasonForm,
        icon="phonelink_erase",
        variant=ActionVariant.DANGER,
        consequence=gettext_lazy(
            "For somebody who has lost the phone. Make sure that it is really them who ask. Their logins end, and the "
            "password alone logs them in until they set up a new one."
        ),
    )
    def reset_second_factor(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        user = self.find(request, object_id)
        if not self.has_reset_second_factor_permission(request, str(user.pk)):
            raise PermissionDenied  # whatever was asked before about the address
        with self.told(request, second_factor.FactorRefused, _("The second factor was reset.")):
            second_factor.reset(user)
        return done(request, page_of_row(user))


class PolicyInline(StackedInline):
    """Stacked, so that the field's help is read and not only hovered over."""

    model = RolePolicy
    verbose_name = verbose_name_plural = gettext_lazy("Second factor")
    extra = max_num = 1
    can_delete = False


@admin.register(Group)
class GroupAdmin(SuperusersOnly, DjangoGroupAdmin, ModelAdmin):
    inlines = [PolicyInline]


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    """E-mail, password, groups and phone of somebody are the keys to what they may."""
    return user is None or not rank.may_more(user, actor_of(request))
