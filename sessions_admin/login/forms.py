"""The forms of the second step."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from sessions_admin.admin.base import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

LONGEST = 40  # characters of a code: a recovery code with its dashes has 19
DIGITS = {"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True, "maxlength": LONGEST}
LETTERS = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "maxlength": LONGEST}
PROOF = {"autocomplete": "current-password"}


class _CodeInput(UnfoldAdminTextInputWidget):  # type: ignore[misc]  # unfold ships no types
    """A code that was refused is of no use again, and does not come back into the field."""

    def format_value(self, value: Any) -> None:
        return None


class _Coded(forms.Form):
    """Its template puts each error below the field, under the id by which Django describes the field."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.label_suffix = ""


class CodeForm(_Coded):
    code = forms.CharField(label=_("Code of the app"), widget=_CodeInput(attrs=DIGITS))


class SetUpInSessionForm(CodeForm):
    """Whoever sits down at an open session must not make their own phone the person's."""

    password = forms.CharField(label=_("Your password"), strip=False, widget=UnfoldAdminPasswordWidget(attrs=PROOF))


class RecoveryForm(_Coded):
    """It stands below the form for the app's code, which has the focus until a recovery code was sent."""

    code = forms.CharField(label=_("Recovery code"), widget=_CodeInput(attrs=LETTERS | {"id": "id_recovery"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_bound:
            self.fields["code"].widget.attrs["autofocus"] = True


class ProofForm(_Coded):
    """Whoever sits down at an open session does not know the password."""

    proof = forms.CharField(
        label=_("Your password, or a code of the app that you use now"),
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs=PROOF),
    )


class OwnSetUpForm(CodeForm, ProofForm):
    field_order = ["code", "proof"]
