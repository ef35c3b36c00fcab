"""Buttons that a person may not press: they are shown, and say why, instead of leading to a 403."""

from collections.abc import Iterable
from typing import Any, cast

from django.apps import apps
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

# What a button's `has_<name>_permission` asks for, where it is not the model's permission of that name. A test holds
# the two together.
NEEDED: dict[str, tuple[str, ...]] = {
    "accounts.account.invite": ("accounts.add_linkinvitation", "accounts.see_codes"),
    "accounts.bridge.allow_version_1": ("accounts.change_bridge",),
    "accounts.bridgesecret.retire": ("accounts.change_bridgesecret",),
    "accounts.linkinvitation.revoke": ("accounts.change_linkinvitation",),
    "accounts.message.read_body": ("accounts.read_bodies",),
    "accounts.straysession.settle": ("accounts.change_straysession",),
    "accounts.user.reset_second_factor": ("accounts.change_user",),
    "accounts.workspace.new_token": ("api.add_workspacetoken",),
    "api.workspacetoken.revoke": ("api.change_workspacetoken",),
    "webhooks.storedreport.read_body": ("accounts.read_bodies",),
    "webhooks.webhookevent.read_body": ("accounts.read_bodies",),
    "webhooks.webhookevent.replay": ("webhooks.change_webhookevent",),
}
# Django names these in English only.
VERBS = {
    "add": gettext_lazy("Can add: %(things)s"),
    "change": gettext_lazy("Can change: %(things)s"),
    "delete": gettext_lazy("Can delete: %(things)s"),
    "view": gettext_lazy("Can view: %(things)s"),
}
OURS = [
    gettext_noop("Can force a reset"),
    gettext_noop("Can order a new QR code"),
    gettext_noop("Can see QR codes and pairing codes"),
    gettext_noop("Can read the text of messages"),
]


class Offering:
    """What the page of a row offers."""

    def is_offered(self, action: str, row: Any) -> bool:
        """Whether the action makes sense for this row now. Whether this person may use it is another question."""
        return True

    def why_not(self, request: HttpRequest, permission: str, object_id: str) -> str:
        """Why this person may not press a button of this row, where the permission alone does not say it."""
        return ""

    def get_actions_detail(self: Any, request: HttpRequest, object_id: str) -> list[Any]:
        """The actions that make sense now. For a dialog that was opened earlier the domain decides."""
        row = self.get_object(request, unquote(object_id))
        return [action for action in self._get_base_actions_detail() if row and self.is_offered(action.path, row)]

    def render_change_form(
        self: Any, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """What this person may not press is greyed with the reason, and what they may not open is no link."""
        context["actions_detail"] = greyed(self, request, context.get("actions_detail", []))
        context["adminform"].form.reader = request
        page: Any = super()
        return cast(HttpResponse, page.render_change_form(request, context, *args, **kwargs))


def greyed(page: Any, request: HttpRequest, buttons: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The buttons of a page, in their order; those that this person may not press have the reason in `refused`."""
    return [button | {"refused": _refusal(page, request, button["path"])} for button in buttons]


def needed(page: Any, permission: str) -> tuple[str, ...]:
    """The permissions ("accounts.renew_qr") that a button of this admin asks for."""
    options = page.opts
    return NEEDED.get(f"{options.label_lower}.{permission}", (f"{options.app_label}.{permission}",))


def in_words(label: str) -> str:
    """What a permission lets one do, in the reader's language."""
    app, _dot, codename = label.partition(".")
    verb, _line, name = codename.partition("_")
    for model in apps.get_app_config(app).get_models():
        own = dict(model._meta.permissions)
        if codename in own:
            return _(str(own[codename]))
        if name == model._meta.model_name and verb in VERBS:
            return VERBS[verb] % {"things": model._meta.verbose_name_plural}
    return label


def _refusal(page: Any, request: HttpRequest, path: str) -> str:
    *_way, object_id, name = path.strip("/").split("/")
    for permission in getattr(getattr(page, name), "allowed_permissions", ()):
        if not getattr(page, f"has_{permission}_permission")(request, object_id):
            return page.why_not(request, permission, object_id) or _why_not(request, needed(page, permission))
    return ""


def _why_not(request: HttpRequest, labels: Iterable[str]) -> str:
    for label in labels:
        if not request.user.has_perm(label):
            return _("Needs the permission “%(permission)s”. Ask an administrator.") % {"permission": in_words(label)}
    return _("You may not do this here. Ask an administrator.")  # such as a token with scopes that one has not
