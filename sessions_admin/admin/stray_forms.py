"""Staff choose the workspace into which an unknown session is adopted; the bridge's word for it is prefilled."""

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.models import StraySession, Workspace
from sessions_admin.admin.base import DialogForm, UnfoldAdminSelectWidget


class AdoptForm(DialogForm):
    workspace = forms.ModelChoiceField(
        label=_("Workspace"),
        queryset=Workspace.objects.none(),
        help_text=_("What the bridge says of it is only an echo of what it was told. Choose whose phone it is."),
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stray = StraySession.objects.select_related("bridge").filter(pk=self.object_id).first()
        if stray is not None:
            served = _served(stray, self.request.user.workspaces_seen())
            self.fields["workspace"].queryset = served
            self.initial["workspace"] = _said(stray, served.values_list("pk", flat=True))


class AdoptManyForm(forms.Form):
    """The form has one choice for each session; a session without a choice stays as it is."""

    def __init__(self, strays: Sequence[StraySession], *args: Any, offered: QuerySet[Workspace], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        workspaces = list(offered.order_by("name").values_list("pk", "name"))
        for stray in strays:
            self.fields[str(stray.pk)] = forms.TypedChoiceField(
                label=stray.session_id,
                choices=[("", _("Leave it")), *workspaces],
                initial=_said(stray, [pk for pk, _name in workspaces]),
                coerce=int,
                empty_value=None,
                required=False,
                widget=UnfoldAdminSelectWidget(),
            )

    def by_workspace(self) -> dict[int, list[int]]:
        chosen: dict[int, list[int]] = {}
        for stray_id, workspace_id in self.cleaned_data.items():
            if workspace_id is not None:
                chosen.setdefault(workspace_id, []).append(int(stray_id))
        return chosen


def _served(stray: StraySession, offered: QuerySet[Workspace]) -> QuerySet[Workspace]:
    named = stray.bridge.workspaces.all()
    return (offered.filter(pk__in=named.values("pk")) if named.exists() else offered).order_by("name")


def _said(stray: StraySession, workspaces: Iterable[int]) -> int | None:
    """Return the workspace that its bridge names, if it exists."""
    return next((pk for pk in workspaces if str(pk) == stray.workspace_said), None)
