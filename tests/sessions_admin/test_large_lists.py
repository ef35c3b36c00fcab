"""Lists of millions of rows: the page is cut before anything is joined, and no filter reads a whole table."""

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Account, LinkSession, Message, Transition, Workspace
from tests.support.portal import make_bridge
from webhooks.models import WebhookEvent


@pytest.fixture
def linked() -> Account:
    account = Account.objects.create(workspace=Workspace.objects.create(name="Toko Maju"), label="Kasir")
    bridge = make_bridge("alpha")
    for number in range(3):
        LinkSession.objects.create(session_id=f"webjs_1_176360000{number}_abcd", account=account, bridge=bridge)
        account.sessions.update(ended_at="2026-01-01T00:00:00Z")
    Transition.objects.create(account=account, old="inactive", new="qr_scanning", trigger="admin")
    return account


@pytest.mark.parametrize("model", [Transition, Message, WebhookEvent, LinkSession])
def test_the_page_is_cut_before_anything_is_joined(
    admin_client: Client, admin_user: AbstractBaseUser, linked: Account, model: type[Model]
) -> None:
    table = f"{connection.ops.quote_name(model._meta.db_table)}"
    with CaptureQueriesContext(connection) as queries:
        assert (
            admin_client.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")).status_code
            == 200
        )
    of_it = [query["sql"] for query in queries if f"FROM {table}" in query["sql"]]
    assert of_it
    assert not [sql for sql in of_it if "JOIN" in sql or "DISTINCT" in sql]


def test_a_search_by_part_of_a_session_finds_its_account_once(admin_client: Client, linked: Account) -> None:
    Account.objects.create(workspace=linked.workspace, label="Gudang")
    answer = admin_client.get(reverse("admin:accounts_account_changelist"), {"q": "webjs_1_1763"})
    assert list(answer.context["cl"].result_list) == [linked]


@pytest.mark.parametrize(("name", "value"), [("trigger", "admin"), ("trigger", "no such thing")])
def test_a_filter_offers_what_is_known_and_takes_any_value(
    admin_client: Client, linked: Account, name: str, value: str
) -> None:
    answer = admin_client.get(reverse("admin:accounts_transition_changelist"), {name: value})
    assert len(answer.context["cl"].result_list) == (value == "admin")
