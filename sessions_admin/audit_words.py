"""Words for the audit: what was done, to what kind of object, and which of its fields changed."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

VERBS: dict[str, Promise] = {
    "add": gettext_lazy("added"),
    "change": gettext_lazy("changed"),
    "delete": gettext_lazy("deleted"),
    "read_body": gettext_lazy("text read"),
}
# What no button of the admin does; the buttons have their own words.
ACTIONS: dict[str, Promise] = {
    "account.pair": gettext_lazy("Account: pairing started through the API"),
    "account.phone_keys": gettext_lazy("Account: identity key computed anew"),
    "account.saw_code": gettext_lazy("Account: code seen"),
    "auditentry.export": gettext_lazy("Audit: exported"),
    "bridgesecret.rotate_keys": gettext_lazy("Secret: encrypted anew"),
    "login": gettext_lazy("Login"),
    "login.refused": gettext_lazy("Login: refused"),
    "login.second_step": gettext_lazy("Login: second step"),
    "login.wrong_code": gettext_lazy("Login: wrong code"),
    "logout": gettext_lazy("Logout"),
    "password.changed": gettext_lazy("Password: own one changed"),
    "rolepolicy.add": gettext_lazy("Role: second factor decided"),
    "rolepolicy.change": gettext_lazy("Role: second factor decided anew"),
    "schedule.synchronise": gettext_lazy("Scheduled task: brought in line"),
    "second_factor.not_proven": gettext_lazy("Second factor: change refused"),
    "second_factor.recovery_codes": gettext_lazy("Second factor: new recovery codes"),
    "second_factor.removed": gettext_lazy("Second factor: removed"),
    "second_factor.replaced": gettext_lazy("Second factor: replaced"),
    "second_factor.set_up": gettext_lazy("Second factor: set up"),
}
# Why something was refused, where it is noted as a code; the domain's refusals are sentences already.
REFUSALS: dict[str, Promise] = {
    "not_proven": gettext_lazy("Neither the password nor a code that was good."),
    "wrong_code": gettext_lazy("The code was wrong, or the password with it."),
    "wrong_password": gettext_lazy("The password was wrong, or the person may not log in."),
}
FIELDS: dict[str, Promise] = {
    "filter": gettext_lazy("filter"),
    "second factor": gettext_lazy("second factor"),
    "session": gettext_lazy("session"),
}
VALUES: dict[tuple[str, str], Promise] = {
    ("second factor", "app"): gettext_lazy("app"),
    ("second factor", "none"): gettext_lazy("none"),
    ("second factor", "recovery code"): gettext_lazy("recovery code"),
}


def action(code: str) -> str:
    """Return what was done, in the reader's language; a code that nobody has put into words is shown as it is."""
    if code in ACTIONS:
        return str(ACTIONS[code])
    kind, _dot, name = code.partition(".")
    if kind == "command":
        return _("Command %(name)s") % {"name": name}
    model = _models().get(kind)
    verb = VERBS.get(name) or _button(model, name) if model else None
    return f"{capfirst(model._meta.verbose_name)}: {verb}" if model and verb else code


def kind(label: str) -> str:
    """The kind of an object: "accounts.account"."""
    model = _model(label)
    return str(capfirst(model._meta.verbose_name)) if model else label


def field(label: str, name: str) -> str:
    """The name of a field; of what was filled in with a button it has none but its own."""
    asked = name.removeprefix("asked.")
    if asked != name:
        return _("asked for: %(name)s") % {"name": asked.replace("_", " ")}
    if name in FIELDS:
        return str(FIELDS[name])
    model = _model(label)
    try:
        found: Any = model._meta.get_field(name) if model else None
    except FieldDoesNotExist:
        found = None
    return str(getattr(found, "verbose_name", None) or name.replace("_", " "))


def value(name: str, text: str) -> str:
    """What a field held, in the reader's language where it is a word of ours."""
    return str(VALUES.get((name, text), text))


def refusal(text: str) -> str:
    return str(REFUSALS.get(text, text))


def _button(model: type[Model], name: str) -> Any:
    page: Any = admin.site._registry[model]
    of_the_list = {each: call for call, each, _text in page._get_base_actions()}
    return getattr(getattr(page, name, of_the_list.get(name)), "short_description", None)


def _models() -> dict[str, type[Model]]:
    return {str(model._meta.model_name): model for model in admin.site._registry}


def _model(label: str) -> type[Model] | None:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None
