"""Nobody reaches anything of a workspace that they do not see, whatever their role: every address that there is, read
from the admin site, the API and the sockets, so that a new one cannot be forgotten."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.urls import reverse

import config.urls
from accounts.access import roles
from accounts.access.scope import WAYS, workspace_of
from accounts.models import Account, StraySession
from linking.routing import websocket_urlpatterns
from tests.sessions_admin.pages import MODELS, url
from tests.sessions_admin.routes import Route, routes_of
from tests.sessions_admin.two_workspaces import OUT_OF_SIGHT, ROLES, TwoWorkspaces, desk, nothing_changes

__all__ = ["desk", "nothing_changes"]

pytestmark = pytest.mark.django_db


ROUTES = list(routes_of(admin.site.urls[0]))
OF_A_ROW = [route for route in ROUTES if route.model and len(route.blanks) == 1]
OF_A_MODEL = [route for route in ROUTES if route.model and not route.blanks]
# Those of the site itself. A test below asks each; whoever adds one says here what it shows.
OF_THE_SITE = {
    "search": "names of the models that one may open",
    "index": "the overview",
    "login": "nothing",
    "logout": "nothing",
    "password_change": "one's own",
    "password_change_done": "nothing",
    "autocomplete": "rows to choose from",
    "jsi18n": "texts",
    "view_on_site": "leads to a row's own address, which none has",
    "app_list": "names of the models that one may open",
    None: "leads an address without its last slash to the right one",
}
# Whom each address beside the admin's asks for.
PREFIXES = {
    "admin/": "a login of the staff",
    "link/": "an invitation",
    "api/whatsapp/": "a token, a login of the staff, or a bridge's secret",
    "api/v1/whatsapp/webhook": "nothing, and answers nothing",
    "api/schema/": "nothing",
    "api/docs/": "nothing",
    "healthz": "nothing",
    "readyz": "nothing",
}
SOCKETS = {"ws/link/<str:token>/": "an invitation", "": "nothing, and is closed at once"}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each refusal would take a third of the time."""
    caplog.set_level(logging.ERROR, "django.request")


def is_list(route: Route) -> bool:
    return bool(route.name and route.name.endswith("_changelist"))


def relations() -> list[Any]:
    """A field of some model for each model that fields lead to."""
    fields = [field for model in MODELS for field in (*model._meta.fields, *model._meta.many_to_many)]
    return list({field.related_model: field for field in fields if field.is_relation}.values())


def content_of(answer: Any) -> bytes:
    """Of an export too, which is sent in pieces."""
    return b"".join(answer.streaming_content) if answer.streaming else bytes(answer.content)


def answers(client: Client, address: str, body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Redirects are followed: some addresses only complete another one."""
    yield "GET", client.get(address, follow=True)
    yield "POST", client.post(address, body, follow=True)


def body_about(desk: TwoWorkspaces, row: Model) -> dict[str, Any]:
    """Whatever any form or action asks for, with ids of the other workspace."""
    return {
        "post": "yes",
        "reason": "x",
        "_form_submitted": "on",
        "action": "delete_selected",
        "_selected_action": row.pk,
        "workspace": desk.other.pk,
        "bridge": desk.other_bridge.pk,
        "name": "x",
        "members": desk.zoe.pk,
        "index": 0,
    }


class TestTheList:
    def test_an_address_of_the_site_is_known_here(self) -> None:
        assert {route.name for route in ROUTES if route.model is None} == set(OF_THE_SITE)

    def test_an_address_of_a_model_is_about_one_row_or_about_none(self) -> None:
        assert {route.path for route in ROUTES if route.model and len(route.blanks) > 1} == set()
        assert {route.model for route in OF_A_ROW} == {route.model for route in OF_A_MODEL} == set(MODELS)

    def test_addresses_beside_the_admin_are_known_here(self) -> None:
        assert {str(each.pattern) for each in config.urls.urlpatterns} == set(PREFIXES)

    def test_a_socket_asks_for_an_invitation_not_for_a_login(self) -> None:
        assert {str(each.pattern) for each in websocket_urlpatterns} == set(SOCKETS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.usefixtures("nothing_changes")
class TestOfTheOtherWorkspace:
    def test_no_page_and_no_action_of_a_row_answers(self, desk: TwoWorkspaces, role: str) -> None:
        client, seen = desk.as_(role), []
        for route in OF_A_ROW:
            row = desk.row_of(route.model, desk.other)  # type: ignore[arg-type]  # each has one
            address = "/admin/" + route.path.replace(route.blanks[0], quote(str(row.pk)))
            for method, answer in answers(client, address, body_about(desk, row)):
                if answer.status_code not in OUT_OF_SIGHT:
                    seen.append((method, address, answer.status_code))

        assert seen == []

    def test_no_list_and_no_form_shows_or_counts_it(self, desk: TwoWorkspaces, role: str) -> None:
        client, said, counted = desk.as_(role), [], {}
        for route in OF_A_MODEL:
            answer = client.get(f"/admin/{route.path}", {"_facets": "True"} if is_list(route) else {})
            if found := desk.marks_in(content_of(answer)):
                said.append((route.path, found))
            if is_list(route) and answer.status_code == 200 and route.model._meta.label_lower in WAYS:  # type: ignore[union-attr]
                rows = list(answer.context["cl"].queryset)
                counted[route.model] = len(rows)
                assert {workspace_of(row) for row in rows} == {desk.own.pk}, route

        assert said == []
        assert counted[Account] == 1
        assert len(counted) > 8

    def test_nothing_comes_of_a_post_to_a_page_of_a_model(self, desk: TwoWorkspaces, role: str) -> None:
        client, said = desk.as_(role), []
        for route in OF_A_MODEL:
            row = desk.row_of(route.model, desk.other)  # type: ignore[arg-type]
            body = body_about(desk, row)
            if route.name and route.name.endswith("_add"):
                body["name"] = ""  # else an administrator makes a workspace
            answer = client.post(f"/admin/{route.path}", body)
            # A form is shown again; an export holds what the person sees, and is looked through as all answers are.
            is_page = bool(route.name and route.name.endswith(("_add", "_export")) and answer.status_code == 200)
            if (not is_page and answer.status_code not in OUT_OF_SIGHT) or desk.marks_in(content_of(answer)):
                said.append((route.path, answer.status_code, desk.marks_in(content_of(answer))))

        assert said == []

    @pytest.mark.parametrize("action", ["delete_selected", "adopt_selected", "set_inactive", ""])
    def test_no_bulk_action_takes_its_rows(self, desk: TwoWorkspaces, role: str, action: str) -> None:
        client, taken = desk.as_(role), []
        for model in MODELS:
            rows = [desk.row_of(model, workspace).pk for workspace in (desk.own, desk.other)]
            body = {"action": action, "_selected_action": rows, "post": "yes", "confirmed": "yes"}
            answer = client.post(url(model, "changelist"), body | {"select_across": "1"})
            if answer.status_code not in OUT_OF_SIGHT:
                taken.append((model._meta.label, answer.status_code))

        assert taken == []

    def test_the_pages_of_the_site_say_nothing_of_it(self, desk: TwoWorkspaces, role: str) -> None:
        client = desk.as_(role)
        asked = [reverse(f"admin:{name}") for name in ("index", "password_change", "password_change_done", "jsi18n")]
        asked += [reverse("admin:search") + f"?{extended}s=zeta" for extended in ("", "extended=1&")]
        asked += [reverse("admin:app_list", args=[label]) for label in ("accounts", "webhooks", "api")]
        for address in asked:
            assert desk.marks_in(client.get(address).content) == [], address
        overview = client.get(reverse("admin:index")).context["overview"]
        assert sum(each.count for each in overview.counts) == 1
        assert overview.troubles == []
        assert {notice.title for notice in overview.notices if "worker" not in notice.title} == {
            f"{desk.own_account}: may not write to new people for some time"
        }

    def test_nothing_leads_to_a_row_by_its_type(self, desk: TwoWorkspaces, role: str) -> None:
        for model in MODELS:
            kind = ContentType.objects.get_for_model(model).pk
            address = reverse("admin:view_on_site", args=[kind, desk.row_of(model, desk.other).pk])
            assert desk.as_(role).get(address).status_code == 404

    def test_no_autocomplete_offers_it(self, desk: TwoWorkspaces, role: str) -> None:
        offered = []
        for field in relations():
            of = {"app_label": field.model._meta.app_label, "model_name": field.model._meta.model_name}
            for term in ("", "zeta"):
                answer = desk.as_(role).get(
                    reverse("admin:autocomplete"), of | {"field_name": field.name, "term": term}
                )
                if answer.status_code != 200:
                    assert answer.status_code in OUT_OF_SIGHT
                elif found := desk.marks_in(answer.content):
                    offered.append((field, term, found))

        assert offered == []


@pytest.mark.parametrize("model", [model for model in MODELS if model._meta.app_label != "django_q"])
def test_no_search_finds_it(desk: TwoWorkspaces, model: type[Model]) -> None:
    """By who may most: what is searched is the same for all."""
    for term in ("zeta", desk.other_session.session_id, "+62 811-1680-1649", "0811 1680 1649"):
        answer = desk.as_(roles.ADMINISTRATOR).get(url(model, "changelist"), {"q": term})
        assert answer.status_code == 403 or not list(answer.context["cl"].queryset), term


@pytest.mark.parametrize("role", ROLES)
class TestOfTheirOwn:
    def test_pages_answer_by_permission(self, desk: TwoWorkspaces, role: str) -> None:
        client, said = desk.as_(role), {}
        for model in MODELS:
            row = desk.row_of(model, desk.own)
            answers_here = client.get(url(model, "change", row.pk)), client.get(url(model, "history", row.pk))
            statuses = {answer.status_code for answer in answers_here}
            may = client.get(url(model, "changelist")).status_code == 200
            said[model._meta.label] = statuses - ({200, 403} if may else {403, 404})
            assert not may or 200 in statuses, model
            assert all(desk.marks_in(answer.content) == [] for answer in answers_here), model

        assert {label: wrong for label, wrong in said.items() if wrong} == {}

    def test_what_belongs_to_no_workspace_has_no_page(self, desk: TwoWorkspaces, role: str) -> None:
        seen = desk.as_(role).get(reverse("admin:index")).content.decode()

        for model in MODELS:
            if model._meta.label_lower not in {*WAYS, "accounts.bridge", "accounts.user"}:
                assert desk.as_(role).get(url(model, "changelist")).status_code == 403
                assert f'href="{url(model, "changelist")}"' not in seen
        assert StraySession.objects.exists()
