"""The form of a workspace."""

from typing import Any

import phonenumbers
from babel import Locale
from django import forms
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts import phones
from accounts.access import rank
from accounts.models import User, Workspace
from sessions_admin.admin.base import UnfoldAdminSelectWidget


class WorkspaceForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    editor: User  # set by the admin for each request

    country = forms.ChoiceField(
        label=_("Country"),
        required=False,
        choices=lambda: countries(),  # in the language of each reader
        widget=UnfoldAdminSelectWidget(),
        help_text=_("Phone numbers may then be written as people write them there, such as 0812 3456 7890."),
    )

    class Meta:
        model = Workspace
        fields = ["country"]  # the rest as the admin lists them

    def clean_members(self) -> Any:
        """Nobody takes the workspace from somebody who may more, as on the person's own page, nor from themselves."""
        chosen = self.cleaned_data["members"]
        leave = self.instance.members.exclude(pk__in=chosen) if self.instance.pk else User.objects.none()
        kept = [str(person) for person in leave if person == self.editor or rank.may_more(person, self.editor)]
        if kept:
            text = _("You may not remove %(people)s: yourself, or somebody who may more than you.")
            raise forms.ValidationError(text % {"people": ", ".join(kept)})
        return chosen


def countries() -> list[tuple[str, Any]]:
    """Every country with its calling code, in the language of the reader."""
    names = Locale.parse(get_language() or "en", sep="-").territories
    offered = [(names.get(code, code), code) for code in phones.COUNTRIES]
    calling = phonenumbers.country_code_for_region
    rows = [(code, f"{name} (+{calling(code)})") for name, code in sorted(offered)]
    return [("", _("None: with the country code only")), *rows]
