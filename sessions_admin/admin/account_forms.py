"""The forms of an account: its own, and those of its dialogs."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts import phones
from accounts.lifecycle import Status
from accounts.models import Account, Transition
from sessions_admin.admin.base import (
    DialogForm,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

REASON_LENGTH = Transition._meta.get_field("reason").max_length


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    # Its own field: people type spaces and dashes, which do not fit the column.
    phone_number = forms.CharField(
        label=_("Phone number"),
        max_length=40,
        required=False,
        help_text=_("With country code, such as +62 812-3456-7890. Empty until a phone has linked."),
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "tel", "autocomplete": "off"}),
    )

    class Meta:
        model = Account
        fields = ["workspace", "label", "phone_number", "provider_type", "is_primary", "is_active"]
        help_texts = {
            "is_active": _("Without it no linking can be started, by anybody. A phone that is linked stays linked.")
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.phone_number:
            self.initial["phone_number"] = phones.group(self.instance.phone_number)

    def clean_phone_number(self) -> str | None:
        typed = self.cleaned_data["phone_number"]
        return phones.normalise(typed) if typed else None


class ReasonForm(DialogForm):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LENGTH,
        help_text=_("Stands in the history of the account, with your name."),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )


class RenewForm(ReasonForm):
    interrupt = forms.BooleanField(
        label=_("Interrupt, even though it was scanned"),
        help_text=_(
            "The phone has scanned the code and is finishing. An interruption can leave a dead device on the phone, "
            "and WhatsApp may refuse the next attempts."
        ),
        error_messages={"required": _("Wait until it has finished, or tick this to interrupt it.")},
        widget=UnfoldBooleanWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Asked for only while an attempt finishes; one that gets there meanwhile is refused, not interrupted.
        if not Account.objects.filter(pk=self.object_id, status=Status.AUTHENTICATED).exists():
            del self.fields["interrupt"]
