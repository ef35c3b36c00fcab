"""What holds for every page of the admin, whichever model it is of."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.test import Client

from accounts.models import Account, RolePolicy, User, Workspace
from accounts.pairing import attempts
from sessions_admin.admin.base import ModelAdmin
from tests.sessions_admin.conftest import fill_every_table, phone_of, superuser
from tests.sessions_admin.pages import MODELS, actions, every_row, first, url
from tests.support.portal import make_bridge
from webhooks.models import SignedRequest

pytestmark = pytest.mark.django_db

READ_ONLY = [
    "accounts.BridgeOrder",
    "accounts.AccountNotice",
    "accounts.AuditEntry",
    "accounts.BridgeProcess",
    "accounts.BridgeSecret",
    "accounts.Incident",
    "accounts.Lease",
    "accounts.LinkInvitation",
    "accounts.LinkLoss",
    "accounts.LinkMove",
    "accounts.LinkSession",
    "accounts.Message",
    "accounts.Pulse",
    "accounts.ReconcileRun",
    "accounts.StraySession",
    "accounts.Transition",
    "api.RateLimitCount",
    "api.WorkspaceToken",
    "webhooks.StoredReport",
    "webhooks.UnmatchedTraffic",
    "webhooks.UnsignedTraffic",
    "webhooks.WebhookEvent",
]


@pytest.fixture(scope="module")
def alice(shared_rows: None) -> User:
    return superuser()


@pytest.fixture(scope="module")
def everything(alice: User) -> None:
    workspace = Workspace.objects.create(name="Toko Alice")
    make_bridge("alpha")
    account = Account.objects.create(workspace=workspace, label="Alice")
    fill_every_table(alice, attempts.start(account.pk, trigger="test"), phone_of(workspace))


# Digests of requests, kept for ten minutes; what stands on the page of its group.
NOT_FOR_PEOPLE = {SignedRequest, RolePolicy}


def test_every_model_of_ours_is_registered() -> None:
    ours = {model for app in ("accounts", "api", "webhooks") for model in apps.get_app_config(app).get_models()}

    assert ours - NOT_FOR_PEOPLE <= set(MODELS)
    assert all(isinstance(admin.site._registry[model], ModelAdmin) for model in MODELS)


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
class TestForASuperuser:
    def test_the_list_answers(self, as_alice: Client, model: type[Model]) -> None:
        assert first(model) is not None

        assert as_alice.get(url(model, "changelist")).status_code == 200

    def test_it_can_be_searched(self, as_alice: Client, model: type[Model]) -> None:
        page: Any = admin.site._registry[model]
        assert page.search_fields

        for term in ("x", "+62 811-1680-1641", "6281116801641", "webjs_1", "ab cd", "'", "0000", "%"):
            assert as_alice.get(url(model, "changelist"), {"q": term}).status_code == 200

    def test_every_filter_answers(self, as_alice: Client, model: type[Model]) -> None:
        response = as_alice.get(url(model, "changelist"))

        for spec in response.context["cl"].filter_specs:
            for choice in spec.choices(response.context["cl"]):
                assert as_alice.get(url(model, "changelist") + choice["query_string"]).status_code == 200

    def test_the_page_of_one_answers(self, as_alice: Client, model: type[Model]) -> None:
        assert as_alice.get(url(model, "change", first(model).pk)).status_code == 200

    def test_both_answer_in_indonesian(self, as_alice: Client, model: type[Model]) -> None:
        for address in (url(model, "changelist"), url(model, "change", first(model).pk)):
            response = as_alice.get(address, headers={"Accept-Language": "id"})
            assert response.status_code == 200
            assert b'lang="id"' in response.content

    def test_the_form_for_a_new_one_answers(self, as_alice: Client, model: type[Model]) -> None:
        response = as_alice.get(url(model, "add"))

        may_add = admin.site._registry[model].has_add_permission(response.wsgi_request)
        assert response.status_code == (200 if may_add else 403)

    def test_staff_without_permission_see_nothing(self, as_bob: Callable[..., Client], model: type[Model]) -> None:
        bob = as_bob()

        assert bob.get(url(model, "changelist")).status_code == 403
        assert bob.get(url(model, "change", first(model).pk)).status_code == 403


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("label", READ_ONLY)
def test_what_is_read_only_takes_no_change_from_anybody(as_alice: Client, label: str) -> None:
    model = apps.get_model(label)
    row = first(model)
    before = every_row()

    assert as_alice.get(url(model, "add")).status_code == 403
    assert as_alice.post(url(model, "add"), {}).status_code == 403
    assert as_alice.post(url(model, "change", row.pk), {}).status_code == 403
    assert as_alice.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    as_alice.post(url(model, "changelist"), {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"})
    assert every_row() == before


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    "label", ["django_q.Schedule", "django_q.OrmQ", "django_q.Success", "django_q.Failure", "auth.Group"]
)
def test_the_queue_and_the_groups_are_for_superusers(as_bob: Callable[..., Client], label: str) -> None:
    model = apps.get_model(label)
    name = model._meta.model_name
    bob = as_bob(*(f"{model._meta.app_label}.{verb}_{name}" for verb in ("add", "change", "delete", "view")))

    assert bob.get(url(model, "changelist")).status_code == 403
    assert bob.post(url(model, "change", first(model).pk), {}).status_code == 403
    assert bob.post(url(model, "changelist"), {"action": "resubmit_task", "_selected_action": 1}).status_code == 403


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(("model", "name", "of_one"), list(actions()))
class TestEveryAction:
    def address(self, model: type[Model], name: str, of_one: bool) -> str:
        row = User.objects.get_or_create(username="carol")[0] if model is User else first(model)  # not alice's own
        return url(model, name, *([row.pk] if of_one else []))

    def test_a_get_shows_a_form_and_changes_nothing(
        self, as_alice: Client, model: type[Model], name: str, of_one: bool
    ) -> None:
        address, before = self.address(model, name, of_one), every_row()

        response = as_alice.get(address, {"reason": "x", "_form_submitted": "on"})

        assert response.status_code == 200
        assert b"<form" in response.content
        assert every_row() == before

    def test_a_post_without_permission_is_refused(
        self, as_bob: Callable[..., Client], model: type[Model], name: str, of_one: bool
    ) -> None:
        bob = as_bob(f"{model._meta.app_label}.view_{model._meta.model_name}")
        address, before = self.address(model, name, of_one), every_row()

        for request in (bob.post, bob.get):
            response = request(address, {"reason": "x", "_form_submitted": "on"})
            assert response.status_code == 403
        assert every_row() == before

    def test_a_post_needs_the_csrf_token(self, alice: User, model: type[Model], name: str, of_one: bool) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(alice)

        assert client.post(self.address(model, name, of_one), {"reason": "x"}).status_code == 403

    def test_what_is_not_there_is_not_found(
        self, as_alice: Client, model: type[Model], name: str, of_one: bool
    ) -> None:
        for unknown in ("999999", "none", "1%2F2"):
            assert as_alice.post(url(model, name, unknown), {"reason": "x"}).status_code == 404
            assert as_alice.get(url(model, name, unknown)).status_code == 404

    def test_what_is_out_of_reach_is_not_found(
        self, as_alice: Client, model: type[Model], name: str, of_one: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = admin.site._registry[model]
        address = self.address(model, name, of_one)
        monkeypatch.setattr(page, "get_queryset", lambda request: model._default_manager.none())

        assert as_alice.post(address, {"reason": "x"}).status_code == 404


def test_there_are_actions_to_test() -> None:
    assert {name for _, name, _ in actions()} >= {
        "renew_qr", "force_reset", "invite", "send_test_message", "move", "adopt", "stop", "revoke", "retire",
        "new_token", "allow_version_1",
    }  # fmt: skip
