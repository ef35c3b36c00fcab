"""No link leads to a refusal, whatever the role of whoever follows it; a button that is refused says why."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.access.roles import GRANTED, SUPPORT, VIEWER
from accounts.models import Account, User, Workspace
from accounts.pairing import attempts
from tests.sessions_admin.conftest import fill_every_table, phone_of, superuser
from tests.sessions_admin.pages import refused
from tests.support.crawl import crawl
from tests.support.portal import make_bridge

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def desk(shared_rows: None) -> Workspace:
    """Alice's shop with a row in every table, and Bob's, which has an account too."""
    workspace, other = Workspace.objects.create(name="Toko Alice"), Workspace.objects.create(name="Toko Bob")
    make_bridge("alpha")
    account = Account.objects.create(workspace=workspace, label="Alice")
    Account.objects.create(workspace=other, label="Bob")
    fill_every_table(superuser(), attempts.start(account.pk, trigger="test"), phone_of(workspace))
    return workspace


# Buttons that a role finds grey on some page, among others.
GREY = {
    VIEWER: {"Force reset", "Invite", "New QR code", "Replay", "Revoke"},
    SUPPORT: {"New token", "Replay"},
}


def client_of(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture(scope="module", params=[f"{role} of {scope}" for role in GRANTED for scope in ("one", "all")])
def person(request: pytest.FixtureRequest, desk: Workspace) -> User:
    role, _of, scope = request.param.partition(" of ")
    person = User.objects.create(username=request.param, is_staff=True, all_workspaces=scope == "all")
    person.groups.add(Group.objects.get(name=role))
    desk.members.add(person)
    return person


@pytest.mark.timeout(300)
def test_every_link_that_is_shown_answers(person: User) -> None:
    reasons: dict[str, str] = {}
    fetched = crawl(client_of(person), "/admin/", look=lambda page: reasons.update(refused(page)))

    assert {address: status for address, status in fetched.items() if status != 200} == {}
    assert len(fetched) > 40
    assert all(reason.endswith("Ask an administrator.") for reason in reasons.values())
    assert set(reasons) >= GREY.get(person.groups.get().name, set())


def test_staff_without_any_permission_find_no_link_that_is_refused(desk: Workspace) -> None:
    fetched = crawl(client_of(User.objects.create(username="carol", is_staff=True)), "/admin/")

    assert set(fetched.values()) == {200}
