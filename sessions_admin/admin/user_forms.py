"""The forms of a person: in which workspaces they work is chosen among those that the editor sees."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from accounts.models import User, Workspace
from sessions_admin import time_zones
from sessions_admin.admin.base import (
    DialogForm,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UserChangeForm,
    UserCreationForm,
)


def _choice_of_workspaces() -> forms.ModelMultipleChoiceField:  # type: ignore[type-arg]  # no subscript at run time
    return forms.ModelMultipleChoiceField(
        Workspace.objects.none(),
        label=gettext_lazy("Workspaces"),
        required=False,
        help_text=gettext_lazy("Only those that you see yourself are shown; the person keeps any others."),
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )


class _InWorkspaces(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    editor: User  # set by the page, as is
    has_choice = True  # False: the page shows the workspaces only

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.has_choice:
            del self.fields["workspaces"]
            return
        self.fields["workspaces"].queryset = self.editor.workspaces_seen().order_by("name")  # type: ignore[attr-defined]
        if self.instance.pk:
            self.initial["workspaces"] = list(self.instance.workspaces.all())

    def _save_m2m(self) -> None:
        super()._save_m2m()  # type: ignore[misc]  # the stubs leave it out
        if not self.has_choice:
            return
        chosen = self.cleaned_data["workspaces"]
        others = self.editor.workspaces_seen().exclude(pk__in=[workspace.pk for workspace in chosen])
        self.instance.workspaces.remove(*others)  # not `set`: what the editor does not see stays
        self.instance.workspaces.add(*chosen)


class UserForm(_InWorkspaces, UserChangeForm):  # type: ignore[misc]  # unfold ships no types
    workspaces = _choice_of_workspaces()
    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        choices=[(name, name) for name in time_zones.NAMES],
        help_text=gettext_lazy("In which the admin shows this person the time."),
        widget=UnfoldAdminSelectWidget(),
    )


class NewUserForm(_InWorkspaces, UserCreationForm):  # type: ignore[misc]  # unfold ships no types
    workspaces = _choice_of_workspaces()
    usable_password = None  # Django asks by it for logins of other systems (LDAP), of which there are none

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Without one the new person would be out of the editor's sight at once.
        self.fields["workspaces"].required = not self.editor.sees_all


class ReasonForm(DialogForm):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=300,
        help_text=gettext_lazy("Such as: lost phone, asked in person. It stands in the audit."),
        widget=UnfoldAdminTextInputWidget(),
    )
