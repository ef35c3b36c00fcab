"""A list answers what its filters and our links ask, and nothing else: with `?field__startswith=` it would tell letter
by letter what stands in a column that it does not show."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client

from accounts.access import roles
from accounts.models import Account, LinkSession, Message, Transition, User
from tests.sessions_admin.pages import MODELS, url
from tests.sessions_admin.two_workspaces import ROLES, TwoWorkspaces, desk
from webhooks.models import WebhookEvent

__all__ = ["desk"]

pytestmark = pytest.mark.django_db

ORACLES = [
    (LinkSession, "qr_svg__startswith", "<svg"),
    (LinkSession, "qr_text__startswith", "2@"),
    (LinkSession, "pairing_code__startswith", "A"),
    (LinkSession, "account__workspace__name__startswith", "Toko"),
    (LinkSession, "account__workspace__id__exact", "1"),
    (Message, "body__contains", "halo"),
    (Message, "body", "halo"),
    (Message, "session__account__workspace__name", "Toko Zeta"),
    (WebhookEvent, "payload__contains", "a"),
    (WebhookEvent, "payload__a", "b"),
    (User, "password__startswith", "pbkdf2"),
    (User, "email__endswith", "example"),
    (User, "workspaces__name__startswith", "Toko"),
    (Account, "phone_number__gt", "6281"),
    (Account, "workspace__name", "Toko Zeta"),
    (Account, "workspace__members__password__startswith", "pbkdf2"),
    (Account, "pk__in", "1"),
    (Account, "id__exact", "1"),
    (Transition, "session__qr_svg__startswith", "<svg"),
]


def relations_asked() -> Iterator[tuple[type[Model], str, type[Model]]]:
    """Each relation that an address of a list may name, and where it leads."""
    for model in MODELS:
        page: Any = admin.site._registry[model]
        named = [
            each[0] if isinstance(each, tuple) else each for each in page.list_filter if not isinstance(each, type)
        ]
        for path in (*named, *(key.removesuffix("__id__exact") for key in page.linked_by)):
            related: Any = model
            for step in path.split("__"):
                related = related._meta.get_field(step).related_model
            if related is not None and related._meta.app_label != "auth":
                yield model, path, related


@pytest.mark.parametrize(("model", "key", "value"), ORACLES)
def test_no_column_can_be_guessed(desk: TwoWorkspaces, model: type[Model], key: str, value: str) -> None:
    for client in (desk.as_(roles.ADMINISTRATOR), superuser_of(desk)):
        assert client.get(url(model, "changelist"), {key: value}).status_code == 403


@pytest.mark.parametrize("role", ROLES)
def test_no_list_is_filtered_by_what_its_reader_does_not_see(desk: TwoWorkspaces, role: str) -> None:
    asked = list(relations_asked())
    assert len(asked) > 12

    for model, path, related in asked:
        for pk in (desk.row_of(related, desk.other).pk, 999_999):
            answer = desk.as_(role).get(url(model, "changelist"), {f"{path}__id__exact": pk})
            assert answer.status_code in {403, 404}, (model, path)


def test_filters_and_links_go_on_working(desk: TwoWorkspaces) -> None:
    client = desk.as_(roles.LEAD)
    page = client.get(url(Account, "change", desk.own_account.pk))

    for link in page.context["desk"].links:
        assert link.url
        assert client.get(link.url).status_code == 200, link.text
    for asked in (
        f"workspace__id__exact={desk.own.pk}&o=1&q=melati&_facets=True",
        f"status__exact={desk.own_account.status}&deleted=all&p=1",
    ):
        answer = client.get(f"{url(Account, 'changelist')}?{asked}")
        assert answer.status_code == 200
        assert list(answer.context["cl"].queryset) == [desk.own_account]


def test_filters_offer_what_their_reader_sees(desk: TwoWorkspaces) -> None:
    for model in (Account, LinkSession):
        answer = desk.as_(roles.ADMINISTRATOR).get(url(model, "changelist"))
        offered = [
            str(choice["display"])
            for spec in answer.context["cl"].filter_specs
            for choice in spec.choices(answer.context["cl"])
        ]
        assert not {"omega", "Toko Zeta"} & set(offered)


def test_a_malformed_key_of_a_row_is_a_bad_request(desk: TwoWorkspaces) -> None:
    client = desk.as_(roles.ADMINISTRATOR)

    assert client.get(url(Account, "changelist"), {"workspace__id__exact": "x"}).status_code == 400


def test_no_other_column_names_the_rows_of_a_pop_up(desk: TwoWorkspaces) -> None:
    client = desk.as_(roles.ADMINISTRATOR)

    assert client.get(url(LinkSession, "changelist"), {"_popup": "1", "_to_field": "qr_svg"}).status_code == 400
    assert client.get(url(User, "changelist"), {"_popup": "1", "_to_field": "password"}).status_code == 400


@pytest.mark.parametrize("page", ["p=999", "o=99", "o=-1.2.3", "_facets=True", "e=1", "q=%00", "all="])
def test_what_every_list_may_be_asked_answers(desk: TwoWorkspaces, page: str) -> None:
    answer = desk.as_(roles.ADMINISTRATOR).get(f"{url(Account, 'changelist')}?{page}")

    assert answer.status_code in {200, 302}
    assert desk.marks_in(answer.content) == []


def superuser_of(desk: TwoWorkspaces) -> Client:
    client = Client()
    client.force_login(User.objects.get(username="alice"))
    return client
