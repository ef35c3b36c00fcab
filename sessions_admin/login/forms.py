"""The forms of the second step."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from sessions_admin.admin.base import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

LONGEST = 40  # characters of a code: a recovery code with its dashes has 19
DIGITS = {"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True, "maxlength": LONGEST}
LETTERS = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "maxlength": LONGEST}
PROOF = {"autocomplete": "current-password"}


class _Coded(forms.Form):
    """An error is announced with its field."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.label_suffix = ""


class CodeForm(_Coded):
    code = forms.CharField(label=_("Code of the app"), widget=UnfoldAdminTextInputWidget(attrs=DIGITS))


class SetUpInSessionForm(CodeForm):
    """Whoever sits down at an open session must not make their own phone the person's."""

    password = forms.CharField(label=_("Your password"), strip=False, widget=UnfoldAdminPasswordWidget(attrs=PROOF))


class RecoveryForm(_Coded):
    code = forms.CharField(
        label=_("Recovery code"), widget=UnfoldAdminTextInputWidget(attrs=LETTERS | {"id": "id_recovery"})
    )


class ProofForm(_Coded):
    """Whoever sits down at an open session does not know the password."""

    proof = forms.CharField(
        label=_("Your password, or a code of the app that you use now"),
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs=PROOF),
    )


class OwnSetUpForm(CodeForm, ProofForm):
    field_order = ["code", "proof"]
