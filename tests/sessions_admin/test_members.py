"""Who belongs to a workspace: who makes one, who edits its members, and who has none yet."""

from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.test import Client

from accounts.access import roles
from accounts.models import Account, LinkSession, User, Workspace
from tests.sessions_admin.pages import url
from tests.sessions_admin.two_workspaces import TwoWorkspaces, desk

__all__ = ["desk"]

pytestmark = pytest.mark.django_db


def form_of(workspace: Workspace | None = None, **values: Any) -> dict[str, Any]:
    return {"name": workspace.name if workspace else "Warung Baru", "country": "ID"} | values


@pytest.fixture
def newcomer() -> Client:
    """An administrator on the first day: of no workspace."""
    person = User.objects.create(username="newcomer", is_staff=True)
    person.groups.add(Group.objects.get(name=roles.ADMINISTRATOR))
    client = Client()
    client.force_login(person)
    return client


def test_who_makes_a_workspace_becomes_its_member(desk: TwoWorkspaces) -> None:
    response = desk.as_(roles.ADMINISTRATOR).post(url(Workspace, "add"), form_of(), follow=True)

    assert response.status_code == 200
    made = Workspace.objects.get(name="Warung Baru")
    assert [person.username for person in made.members.all()] == ["agus"]


def test_who_sees_all_anyway_does_not(desk: TwoWorkspaces) -> None:
    client = Client()
    client.force_login(User.objects.get(username="alice"))

    client.post(url(Workspace, "add"), form_of())

    assert not Workspace.objects.get(name="Warung Baru").members.exists()


def test_members_are_chosen_among_the_people_whom_one_sees(desk: TwoWorkspaces) -> None:
    client, agus = desk.as_(roles.ADMINISTRATOR), User.objects.get(username="agus")
    rina = User.objects.get(username="rina")

    taken = client.post(url(Workspace, "change", desk.own.pk), form_of(desk.own, members=[agus.pk, rina.pk]))
    refused = client.post(url(Workspace, "change", desk.own.pk), form_of(desk.own, members=[agus.pk, desk.zoe.pk]))

    assert taken.status_code == 302
    assert refused.status_code == 200
    assert refused.context["adminform"].form.errors.keys() == {"members"}
    assert set(desk.own.members.all()) == {agus, rina}


def test_nobody_enters_a_workspace_that_they_do_not_see(desk: TwoWorkspaces) -> None:
    agus = User.objects.get(username="agus")

    answer = desk.as_(roles.ADMINISTRATOR).post(
        url(Workspace, "change", desk.other.pk), form_of(desk.other, members=[agus.pk])
    )

    assert answer.status_code == 404
    assert list(desk.other.members.all()) == [desk.zoe]


def test_an_account_is_made_in_a_workspace_that_one_sees(desk: TwoWorkspaces) -> None:
    client = desk.as_(roles.SUPPORT)
    form = {"label": "Kasir 2", "phone_number": "", "provider_type": "webjs"}

    refused = client.post(url(Account, "add"), form | {"workspace": desk.other.pk})
    assert refused.status_code == 200
    assert not Account.objects.filter(label="Kasir 2").exists()

    assert client.post(url(Account, "add"), form | {"workspace": desk.own.pk}).status_code == 302
    assert Account.objects.get(label="Kasir 2").workspace == desk.own


def test_an_account_is_moved_to_a_bridge_that_serves_its_workspace(desk: TwoWorkspaces) -> None:
    form = {"bridge": desk.other_bridge.pk, "has_login": "no", "reason": "x", "_form_submitted": "on"}

    answer = desk.as_(roles.LEAD).post(url(Account, "move", desk.own_account.pk), form)

    assert answer.status_code == 200  # the form again
    assert not LinkSession.objects.filter(account=desk.own_account, bridge=desk.other_bridge).exists()


@pytest.mark.parametrize(
    ("language", "heading", "whom"),
    [
        ("en", "You see no workspace yet", "Ask an administrator"),
        ("id", "Anda belum melihat ruang kerja apa pun", "Mintalah administrator"),
    ],
)
def test_without_a_workspace_the_overview_is_empty_and_says_whom_to_ask(
    desk: TwoWorkspaces, newcomer: Client, language: str, heading: str, whom: str
) -> None:
    answer = newcomer.get("/admin/", headers={"Accept-Language": language})

    text = answer.content.decode()
    assert heading in text
    assert whom in text
    assert [step.url for step in answer.context["overview"].steps] == [url(Workspace, "add")]
    assert "ld-counts" not in text
    assert "ld-notices" not in text
    assert desk.marks_in(answer.content) == []
    assert list(newcomer.get(url(Account, "changelist")).context["cl"].queryset) == []


def test_a_person_sees_who_shares_a_workspace_with_them(desk: TwoWorkspaces, newcomer: Client) -> None:
    def names(client: Client) -> set[str]:
        return {person.username for person in client.get(url(User, "changelist")).context["cl"].queryset}

    assert names(desk.as_(roles.LEAD)) == {"rina", "sari", "lukas", "agus"}
    assert names(newcomer) == {"newcomer"}


def test_what_a_colleague_did_elsewhere_is_not_listed_when_they_are_deleted(desk: TwoWorkspaces) -> None:
    """Django lists all that goes with a person: each edit that they ever made, with the name of what was edited."""
    rina = User.objects.get(username="rina")
    LogEntry.objects.log_actions(rina.pk, [desk.other_account], CHANGE, "")

    answer = desk.as_(roles.ADMINISTRATOR).get(url(User, "delete", rina.pk))

    assert answer.status_code in {200, 403}
    assert desk.marks_in(answer.content) == []


def test_nobody_takes_a_workspace_from_somebody_who_may_more_nor_from_themselves(desk: TwoWorkspaces) -> None:
    before = set(desk.own.members.values_list("username", flat=True))
    lead = next(name for name in before if User.objects.get(username=name).groups.filter(name=roles.LEAD).exists())
    others = User.objects.filter(username__in=before - {"agus"}).values_list("pk", flat=True)
    themselves = User.objects.filter(username__in=before - {lead}).values_list("pk", flat=True)

    for members in (others, themselves):
        refused = desk.as_(roles.LEAD).post(url(Workspace, "change", desk.own.pk), form_of(desk.own, members=members))
        assert refused.status_code == 200
        assert refused.context["adminform"].form.errors.keys() == {"members"}
    assert set(desk.own.members.values_list("username", flat=True)) == before


def test_without_a_workspace_no_account_is_added(newcomer: Client) -> None:
    assert newcomer.get(url(Account, "add")).status_code == 403
    assert url(Account, "add") not in newcomer.get("/admin/accounts/account/").content.decode()
