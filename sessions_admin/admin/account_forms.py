"""The forms of an account: its own, and those of its dialogs."""

from typing import Any, cast

from django import forms
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import phones
from accounts.bridges import choosing
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, Transition, User, Workspace
from accounts.models.bridge import Obstacle
from accounts.pairing import attempts, cooldown
from sessions_admin import bridge_display, display
from sessions_admin.admin.base import (
    DialogForm,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

REASON_LENGTH = Transition._meta.get_field("reason").max_length


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    # The form has a field of its own: people type spaces and dashes, which do not fit the column.
    phone_number = forms.CharField(
        label=_("Phone number"),
        max_length=40,
        required=False,
        help_text=_("With country code, such as +62 812-3456-7890. Empty until a phone has linked."),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "tel", "autocomplete": "off"}),
    )

    class Meta:
        model = Account
        fields = ["workspace", "label", "phone_number", "provider_type", "is_active"]
        help_texts = {
            "is_active": _("Without it no linking can be started, by anybody. A phone that is linked stays linked.")
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.phone_number:
            self.initial["phone_number"] = phones.group(self.instance.phone_number)

    def clean_phone_number(self) -> str | None:
        typed = self.cleaned_data["phone_number"]
        if "phone_number" not in self.changed_data:  # staff may have accepted a number that nobody could type
            return cast(str | None, self.instance.phone_number)
        workspace = (
            self.cleaned_data.get("workspace") or Workspace.objects.filter(pk=self.instance.workspace_id).first()
        )
        return phones.normalise(typed, country=workspace.country if workspace else "") if typed else None


class ReasonForm(DialogForm):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LENGTH,
        help_text=_("Stands in the history of the account, with your name."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )


class TestMessageForm(DialogForm):
    phone_number = forms.CharField(
        label=_("Send it to"),
        max_length=40,
        required=False,
        help_text=_("With country code. Empty: to the account's own number, as a message to itself."),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "tel", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = Account.objects.select_related("workspace").filter(pk=self.object_id).first()
        if self.account and self.account.phone_number:
            self.initial["phone_number"] = phones.group(self.account.phone_number)

    def clean_phone_number(self) -> str:
        """Empty for the account's own number."""
        typed = self.cleaned_data["phone_number"]
        if not typed or "phone_number" not in self.changed_data:
            return ""
        return phones.normalise(typed, country=self.account.workspace.country if self.account else "")


class MoveForm(ReasonForm):
    bridge = forms.TypedChoiceField(label=_("Bridge"), coerce=int, widget=UnfoldAdminSelectWidget())
    has_login = forms.ChoiceField(
        label=_("Does that bridge hold the login?"),
        choices=[("no", _("No: the phone must scan again")), ("yes", _("Yes: its folder was moved there"))],
        help_text=_("The login is the folder of this session. Without it the old link ends, and a new one begins."),
        widget=UnfoldAdminRadioSelectWidget(),
    )
    field_order = ["bridge", "has_login", "reason"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        account = Account.objects.select_related("workspace", "current_session").filter(pk=self.object_id).first()
        if account is not None:
            others = choosing.with_load(choosing.serving(account.workspace)).order_by("name")
            here = account.current_session.bridge_id if account.current_session else None
            offers = [(row.pk, _offer(row, self.request.user)) for row in others if row.pk != here]
            self.fields["bridge"].choices = [("", _("Choose a bridge")), *offers]


def _offer(bridge: Bridge, reader: User) -> str:
    """Return the bridge's name, and why it would get no new session: most reasons also speak against a relocation.

    Some reasons tell how much others use it, so who sees only some workspaces is told whether it is up.
    """
    silent = [str(Obstacle.SILENT.label)] if bridge_display.is_down(bridge) else []
    why_not = ", ".join(choosing.why_not(bridge) if reader.sees_all else silent)
    return f"{bridge} ({why_not})" if why_not else str(bridge)


class RenewForm(ReasonForm):
    """The form asks to tick a risk, if there is one. A start that becomes risky later is refused, not overridden."""

    risk = forms.BooleanField(
        label=_("I know the risk"),
        error_messages={"required": _("Wait, or tick this to go on all the same.")},
        widget=UnfoldBooleanWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        account = Account.objects.select_related("current_session").filter(pk=self.object_id).first()
        risks = risks_of_a_start(account) if account else []
        if risks:
            self.fields["risk"].help_text = " ".join(risks)
        else:
            del self.fields["risk"]


def risks_of_a_start(account: Account) -> list[str]:
    """Return the risks of a start now, each with how long to wait instead; an empty list means no risk."""
    waits = {"PAIRING_IN_PROGRESS": _finishing_for(account), "PAIRING_COOLDOWN": cooldown.cooldown_left(account)}
    advice = gettext("Without risk in %(time)s.")
    return [
        f"{cooldown.risk_of(code)} {advice % {'time': display.duration(seconds)}}"
        for code, seconds in waits.items()
        if seconds
    ]


def _finishing_for(account: Account) -> int:
    """Return for how many seconds a new attempt would stand beside a fresh login; 0 when it would not."""
    session, status = account.current_session, Status(account.status)
    if session is None or not session.is_open or status == Status.CONNECTED:
        return 0
    deadline = session.deadline(status, account.status_changed_at)
    if deadline is not None and deadline[0] <= timezone.now():  # the start itself ends it
        return 0
    return attempts.seconds_left(account, session) if status == Status.AUTHENTICATED else cooldown.quiet_left(session)
