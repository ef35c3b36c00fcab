"""Who sees some workspaces reads what was done there, to the people whom they see, and by themselves."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.access import audit, scope
from accounts.models import Account, AuditEntry, User, Workspace
from tests.sessions_admin.test_audit_page import EXPORT, LIST, listed, read
from tests.support.staff import FAST, LOGIN, PASSWORD, staff

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fast(settings: Any) -> None:
    settings.PASSWORD_HASHERS = FAST


@pytest.fixture
def lead(workspace: Workspace) -> User:
    return works_in(workspace, staff("lukas", role="Lead", all_workspaces=False))


@pytest.fixture
def sari(workspace: Workspace) -> User:
    return works_in(workspace, staff("sari", role="Support", all_workspaces=False))


@pytest.fixture
def zoe() -> User:
    """She works elsewhere."""
    return works_in(Workspace.objects.create(name="Toko Zeta"), staff("zoe", role="Support", all_workspaces=False))


@pytest.fixture
def client(lead: User) -> Client:
    client = Client()
    client.force_login(lead)
    return client


def works_in(workspace: Workspace, user: User) -> User:
    workspace.members.add(user)
    return user


def test_a_lead_reads_the_logins_of_their_people_and_of_nobody_else(client: Client, sari: User, zoe: User) -> None:
    for name in ("sari", "zoe"):
        Client().post(LOGIN, {"username": name, "password": "guess"})
        Client().post(LOGIN, {"username": name, "password": PASSWORD})

    assert listed(client) == ["sari", "sari"]
    assert {row["object"] for row in read(client.post(EXPORT))} == {"sari"}


def test_what_was_done_to_unseen_people_and_workspaces_stays_unseen(
    client: Client, alice: User, sari: User, zoe: User
) -> None:
    theirs = Account.objects.create(workspace=zoe.workspaces_seen().get(), label="Kasir Zeta")
    hidden = [audit.record("user.change", actor=alice, of=zoe), audit.record("account.reset", actor=alice, of=theirs)]
    hidden += [audit.record("login.second_step", actor=zoe, of=zoe), audit.record("command.demo", who="root")]
    audit.record("user.reset_second_factor", actor=alice, of=sari)

    assert listed(client) == ["sari"]
    assert [client.get(f"{LIST}{entry.pk}/change/").status_code for entry in hidden] == [404] * 4
    assert listed(client, action="user.change") == []
    filters = client.get(LIST).context["cl"].filter_specs
    offered = [str(choice) for spec in filters for choice in getattr(spec, "lookup_choices", [])]
    assert "user.reset_second_factor" in "".join(offered)
    assert not [word for word in ("user.change", "account.reset", "command.demo", "zoe") if word in "".join(offered)]


def test_another_row_with_the_number_of_a_seen_person_stays_unseen(client: Client, sari: User) -> None:
    AuditEntry.objects.create(action="bridge.change", who="root", model="accounts.bridge", object_id=str(sari.pk))

    assert listed(client) == []


def test_one_reads_what_one_did_oneself(client: Client, lead: User, zoe: User) -> None:
    audit.record("user.add", actor=lead, of=zoe)

    assert listed(client) == ["zoe"]


def test_it_costs_one_query_more_however_many_people_there_are(lead: User, sari: User, workspace: Workspace) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            list(scope.seen_by(lead, AuditEntry.objects.all()))
        return len(asked)

    few = queries()
    for number in range(5):
        audit.record("user.add", of=works_in(workspace, staff(f"person{number}", all_workspaces=False)))

    assert (few, queries()) == (2, 2)


def test_an_empty_list_says_what_would_be_there(client: Client, as_alice: Client) -> None:
    assert "No entry matches among those that you see" in client.get(LIST).content.decode()
    assert "No entry matches." in as_alice.get(LIST).content.decode()
