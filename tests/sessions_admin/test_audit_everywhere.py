"""Whatever a POST of the admin changes leaves an entry in the audit, on every page that is registered."""

from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client, RequestFactory
from django_q.models import Failure

from accounts.models import AuditEntry, StraySession, User, Workspace
from tests.sessions_admin.filling_in import as_shown, filled_in, formsets
from tests.sessions_admin.pages import MODELS, actions, every_row, first, url
from tests.support.portal import make_bridge

pytestmark = pytest.mark.django_db

LISTS = {"accounts.Account", "accounts.Bridge", "accounts.User", "accounts.Workspace", "auth.Group"}
# What each page that may change something must have changed here: else it would prove nothing.
ADDED = LISTS | {"django_q.Schedule"}
CHANGED = LISTS | {"django_q.Schedule", "django_q.OrmQ"}
KEPT = {"accounts.Account", "accounts.Bridge", "accounts.Workspace"}  # what others hang on
DELETED = CHANGED - KEPT | {"django_q.Success", "django_q.Failure"}
PASSWORD = "sebelas-batang-bambu-7"
SPECIAL: dict[str, dict[str, Any]] = {
    "accounts.Bridge": {"name": "gamma", "url": "http://127.0.0.1:9", "capabilities": "[]"},
    "accounts.User": {"username": "carol", "password1": PASSWORD, "password2": PASSWORD},
    "accounts.Account": {"label": "Baru"},
    "auth.Group": {"name": "Night shift"},
    "django_q.OrmQ": {"key": "elsewhere"},
}
# Buttons that may be pressed again: of what was done before nothing changes; and one that only shows.
CHANGES_NOTHING = {"allow_version_1", "revoke", "read_body"}
BULK = {"delete_selected", "adopt_selected", "resubmit_task"}


def permits(model: type[Model], verb: str, row: Any = None) -> bool:
    request = RequestFactory().get("/")
    request.user = User.objects.get(username="alice")
    page = admin.site._registry[model]
    return bool(page.has_add_permission(request) if verb == "add" else getattr(page, f"has_{verb}_permission")(request))


def changed_by(client: Client, address: str, data: dict[str, Any]) -> set[str]:
    """The tables that the POST has changed. It fails where one has changed without an entry."""
    before, last = every_row(), AuditEntry.objects.count()
    response = client.post(address, data)
    after, new = every_row(), list(AuditEntry.objects.order_by("pk")[last:])
    changed = {label for label, rows in after.items() if rows != before[label]} - {"accounts.AuditEntry"}
    assert response.status_code in {200, 302, 403}, response.status_code
    assert new or not changed, f"{address} changed {changed} and left no entry"
    assert all(entry.actor and entry.actor.username == "alice" and entry.request_id for entry in new)
    return changed


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
class TestEveryForm:
    def test_a_new_row_is_noted(self, as_alice: Client, model: type[Model]) -> None:
        if not permits(model, "add"):
            assert model._meta.label not in ADDED
            return
        page = as_alice.get(url(model, "add"))
        form = page.context["adminform"].form
        data = filled_in(form) | formsets(page) | SPECIAL.get(model._meta.label, {})
        changed = changed_by(as_alice, url(model, "add"), data)

        assert model._meta.label in changed, as_alice.post(url(model, "add"), data).context["errors"]
        entry = AuditEntry.objects.filter(action=f"{model._meta.model_name}.add").get()
        assert entry.before == {}
        assert entry.after

    def test_a_change_is_noted(self, as_alice: Client, model: type[Model]) -> None:
        row = first(model)
        page = as_alice.get(url(model, "change", row.pk))
        data = as_shown(page.context["adminform"].form) | formsets(page)
        data |= dict.fromkeys(("name", "label", "first_name", "key"), "Diubah")
        changed = changed_by(as_alice, url(model, "change", row.pk), data)

        assert (model._meta.label in changed) == (model._meta.label in CHANGED)
        for entry in AuditEntry.objects.filter(action=f"{model._meta.model_name}.change"):
            assert entry.object_id == str(row.pk)
            assert entry.before.keys() | entry.after.keys()
            assert all(entry.before.get(name) != value for name, value in entry.after.items())

    def test_a_deletion_is_noted(self, as_alice: Client, model: type[Model]) -> None:
        User.objects.create(username="zoe")
        row = model._default_manager.order_by("pk").last()
        assert row is not None
        name = str(row)
        changed = changed_by(as_alice, url(model, "delete", row.pk), {"post": "yes"})

        if model._meta.label in DELETED:
            assert model._meta.label in changed
            entry = AuditEntry.objects.filter(action=f"{model._meta.model_name}.delete").get()
            assert (entry.object_name, entry.after) == (name, {})

    def test_an_action_of_the_list_is_noted_for_each_row(self, as_alice: Client, model: type[Model]) -> None:
        page: Any = admin.site._registry[model]
        request = RequestFactory().get("/")
        request.user = User.objects.get(username="alice")
        User.objects.create(username="zoe")
        for action in page.get_actions(request):
            assert action in BULK
            row = model._default_manager.order_by("pk").last()
            if row is None:
                continue
            data = {"action": action, "_selected_action": row.pk, "post": "yes", "confirmed": "yes"}
            changed = changed_by(as_alice, url(model, "changelist"), data | {str(row.pk): Workspace.objects.first()})
            if action == "resubmit_task":
                assert changed
                kind = str(model._meta.model_name)
                assert AuditEntry.objects.filter(action=f"{kind}.{action}", object_id=str(row.pk)).count() == 1


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    "pressed",
    [
        {"action": "resubmit_task"},
        {"action": "resubmit_task", "index": "7"},
        {"action": ["delete_selected", "resubmit_task"], "index": "-1"},
        {"action": ["delete_selected", "resubmit_task"], "index": "none", "select_across": "0"},
        {"action": "resubmit_task", "select_across": "on"},
        {"action": "resubmit_task", "select_across": "1"},
    ],
)
def test_an_action_is_noted_however_its_button_is_pressed(as_alice: Client, pressed: dict[str, Any]) -> None:
    row = first(Failure)
    data = {"_selected_action": str(row.pk)} | pressed

    changed_by(as_alice, url(Failure, "changelist"), data)

    is_run = not Failure.objects.filter(pk=row.pk).exists()
    noted = AuditEntry.objects.filter(action="failure.resubmit_task").values_list("object_id", flat=True)
    assert list(noted) == ([str(row.pk)] if is_run else [])
    assert is_run == (data.get("index") != "none")


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(("model", "name", "of_one"), list(actions()))
def test_every_button_leaves_one_entry_done_or_refused(
    as_alice: Client, model: type[Model], name: str, of_one: bool
) -> None:
    make_bridge("beta")
    row = User.objects.create(username="carol") if model is User else first(model)  # not the person who presses
    address = url(model, name, *([row.pk] if of_one else []))
    form = as_alice.get(address).context["form"]
    data = filled_in(form) | {"_form_submitted": "on"} | ({"reason": "a reason"} if "reason" in form.fields else {})
    changed = changed_by(as_alice, address, data)

    (entry,) = AuditEntry.objects.exclude(action="login")
    assert (entry.action, entry.object_id) == (f"{model._meta.model_name}.{name}", str(row.pk))
    assert entry.reason == data.get("reason", "")
    assert changed or entry.refused or name in CHANGES_NOTHING


def test_no_list_is_edited_in_place() -> None:
    assert not [model for model in MODELS if admin.site._registry[model].list_editable]


@pytest.mark.usefixtures("everything")
def test_each_of_several_unknown_sessions_has_its_entry(as_alice: Client, workspace: Workspace) -> None:
    stray = StraySession.objects.get()
    other = StraySession.objects.create(bridge=stray.bridge, session_id="webjs_1_1_other", phone_number="6281116801643")
    StraySession.objects.update(status="connected")
    StraySession.objects.filter(pk=stray.pk).update(phone_number="")
    data = {"action": "adopt_selected", "_selected_action": [stray.pk, other.pk], "confirmed": "yes"}
    as_alice.post(url(StraySession, "changelist"), data | {str(pk): workspace.pk for pk in (stray.pk, other.pk)})

    found = {entry.object_id: entry for entry in AuditEntry.objects.filter(action="straysession.adopt_selected")}
    assert found.keys() == {str(stray.pk), str(other.pk)}
    assert "phone number" in found[str(stray.pk)].refused
    assert found[str(other.pk)].after["outcome"] == "adopted"
