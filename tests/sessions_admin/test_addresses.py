"""A row has one address. Whatever else Python would read as its key leads nowhere, on every page and button."""

from typing import Any

import pytest
from django.test import Client

from accounts.access import second_factor
from accounts.models import Account, AuditEntry, User
from tests.sessions_admin.pages import MODELS, actions, first, url
from tests.support.staff import app_of, staff

pytestmark = pytest.mark.django_db

OTHER_WAYS = ["_2B{}", "%20{}", "0{}"]
BUTTONS = [(model, name) for model, name, is_of_one in actions() if is_of_one]


def moved(address: str, pk: Any, way: str) -> str:
    """The same page with its key written in another way."""
    return address.replace(f"/{pk}/", f"/{way.format(pk)}/")


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("way", OTHER_WAYS)
def test_no_page_answers_at_another_address(as_alice: Client, way: str) -> None:
    for model in MODELS:
        pk = first(model).pk
        for page in ("change", "history", "delete"):
            answer = as_alice.get(moved(url(model, page, pk), pk, way))

            assert answer.status_code == 404 or (page, answer.status_code) == ("delete", 403), (model, page)


@pytest.mark.usefixtures("everything")
def test_no_button_does(as_alice: Client) -> None:
    for model, name in BUTTONS:
        pk = first(model).pk
        for way in OTHER_WAYS:
            address = moved(url(model, name, pk), pk, way)

            answers = [as_alice.get(address), as_alice.post(address, {"reason": "lost"})]

            assert [answer.status_code for answer in answers] == [404, 404], address


@pytest.mark.usefixtures("everything")
def test_nor_does_the_page_of_a_password(as_alice: Client) -> None:
    pk = first(User).pk

    assert as_alice.get(f"/admin/accounts/user/_2B{pk}/password/").status_code == 404


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_no_writing_of_it_resets_the_second_factor_of_who_may_more(way: str) -> None:
    boss, root = staff("boss", "accounts.view_user", "accounts.change_user"), staff("root", is_superuser=True)
    app_of(root)
    client = Client()
    client.force_login(boss)

    plain = client.post(url(User, "reset_second_factor", root.pk), {"reason": "lost"})
    other = client.post(moved(url(User, "reset_second_factor", root.pk), root.pk, way), {"reason": "lost"})

    assert (plain.status_code, other.status_code) == (403, 404)
    assert second_factor.app_of(root) is not None
    assert not AuditEntry.objects.filter(action="user.reset_second_factor").exists()


def test_the_button_of_nobody_is_not_allowed(as_alice: Client, linked: Account) -> None:
    assert as_alice.post(url(User, "reset_second_factor", 999_999), {"reason": "lost"}).status_code == 404
    assert as_alice.get(url(Account, "change", linked.pk)).status_code == 200
