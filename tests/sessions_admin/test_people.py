"""Nobody changes somebody who may more, and nobody gives what they have not."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import AuditEntry, RolePolicy, User, Workspace
from tests.support.staff import FAST, PASSWORD, staff

pytestmark = pytest.mark.django_db
PEOPLE = "/admin/accounts/user/"
CHANGES_PEOPLE = ["accounts.view_user", "accounts.add_user", "accounts.change_user", "accounts.delete_user"]
NEW = "another long password"


@pytest.fixture(autouse=True)
def _fast(settings: Any) -> None:
    settings.PASSWORD_HASHERS = FAST


@pytest.fixture
def toko(workspace: Workspace) -> Workspace:
    return workspace


@pytest.fixture
def other() -> Workspace:
    return Workspace.objects.create(name="Toko Bob")


@pytest.fixture
def boss(toko: Workspace) -> User:
    """She changes people, and sees one workspace."""
    boss = staff("boss", *CHANGES_PEOPLE, role="Viewer", all_workspaces=False)
    boss.workspaces.add(toko)
    return boss


@pytest.fixture
def client(boss: User) -> Client:
    client = Client()
    client.force_login(boss)
    return client


def member(name: str, workspace: Workspace, *labels: str, **values: Any) -> User:
    user = staff(name, *labels, all_workspaces=False, **values)
    user.workspaces.add(workspace)
    return user


def shown(client: Client, user: User) -> dict[str, Any]:
    """The person's form as it would be sent back unchanged."""
    form = client.get(f"{PEOPLE}{user.pk}/change/").context["adminform"].form
    initial = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    data = {name: [row.pk for row in value] if isinstance(value, list) else value for name, value in initial.items()}
    return {name: value for name, value in data.items() if value not in (None, False, "") and name != "password"}


def save(client: Client, user: User, **changed: Any) -> Any:
    return client.post(f"{PEOPLE}{user.pk}/change/", shown(client, user) | changed)


def more_than_boss(kind: str, toko: Workspace, other: Workspace) -> User:
    if kind == "superuser":
        return member("sari", toko, is_superuser=True)
    if kind == "sees all":
        sari = member("sari", toko)
        User.objects.filter(pk=sari.pk).update(all_workspaces=True)
    elif kind == "another workspace":
        sari = member("sari", toko)
        sari.workspaces.add(other)
    elif kind == "a permission":
        sari = member("sari", toko, "accounts.reset_account")
    else:
        sari = member("sari", toko, is_active=False)
        sari.groups.add(Group.objects.get(name="Lead"))
    return sari


@pytest.mark.parametrize("kind", ["superuser", "sees all", "another workspace", "a permission", "deactivated lead"])
class TestSomebodyWhoMayMore:
    def test_is_only_looked_at(self, client: Client, toko: Workspace, other: Workspace, kind: str) -> None:
        sari = more_than_boss(kind, toko, other)

        answer = client.get(f"{PEOPLE}{sari.pk}/change/")

        assert answer.status_code == 200
        assert 'name="email"' not in answer.content.decode()
        assert 'name="_save"' not in answer.content.decode()

    def test_keeps_password_groups_and_address(
        self, client: Client, toko: Workspace, other: Workspace, kind: str
    ) -> None:
        sari = more_than_boss(kind, toko, other)
        before = User.objects.filter(pk=sari.pk).values().get()
        form = {"username": "sari", "email": "boss@evil.example", "time_zone": "UTC", "is_active": "on"}

        assert client.post(f"{PEOPLE}{sari.pk}/change/", form).status_code == 403
        page = f"{PEOPLE}{sari.pk}/password/"
        assert client.get(page).status_code == 403
        assert client.post(page, {"password1": NEW, "password2": NEW, "usable_password": "true"}).status_code == 403
        assert User.objects.filter(pk=sari.pk).values().get() == before

    def test_is_not_deleted(self, client: Client, toko: Workspace, other: Workspace, kind: str) -> None:
        sari = more_than_boss(kind, toko, other)

        assert client.post(f"{PEOPLE}{sari.pk}/delete/", {"post": "yes"}).status_code == 403
        chosen = {"action": "delete_selected", "_selected_action": [sari.pk], "post": "yes"}
        client.post(PEOPLE, chosen)
        assert User.objects.filter(pk=sari.pk).exists()


class TestAColleague:
    @pytest.fixture
    def sari(self, toko: Workspace) -> User:
        return member("sari", toko)

    def test_gets_a_new_password_and_that_is_audited(self, client: Client, sari: User) -> None:
        form = {"password1": NEW, "password2": NEW, "usable_password": "true", "set-password": "1"}
        assert client.post(f"{PEOPLE}{sari.pk}/password/", form).status_code == 302

        sari.refresh_from_db()
        assert sari.check_password(NEW)
        entry = AuditEntry.objects.get(action="user.change")
        assert (entry.who, entry.object_id, entry.after) == ("boss", str(sari.pk), {"password": "changed"})

    def test_is_seen_with_the_workspaces_of_the_reader_alone(self, toko: Workspace, other: Workspace) -> None:
        sari, reader = member("sari", toko), Client()
        sari.workspaces.add(other)
        reader.force_login(member("rina", toko, "accounts.view_user"))

        page = reader.get(f"{PEOPLE}{sari.pk}/change/").content.decode()

        assert toko.name in page
        assert other.name not in page

    def test_gets_groups_that_the_editor_could_have(self, client: Client, sari: User) -> None:
        viewer, support = (Group.objects.get(name=name) for name in ("Viewer", "Support"))

        assert save(client, sari, groups=[support.pk]).status_code == 200
        assert not sari.groups.exists()
        assert save(client, sari, groups=[viewer.pk]).status_code == 302
        assert sari.groups.get() == viewer

    def test_gets_no_powers(self, client: Client, sari: User) -> None:
        save(client, sari, is_superuser="on", all_workspaces="on", user_permissions=[1, 2])

        sari.refresh_from_db()
        assert (sari.is_superuser, sari.all_workspaces, sari.user_permissions.count()) == (False, False, 0)

    def test_is_deactivated(self, client: Client, sari: User) -> None:
        form = shown(client, sari)
        del form["is_active"]
        client.post(f"{PEOPLE}{sari.pk}/change/", form)

        sari.refresh_from_db()
        assert not sari.is_active

    def test_works_where_the_editor_sees(self, client: Client, boss: User, sari: User, other: Workspace) -> None:
        third = Workspace.objects.create(name="Toko Citra")
        boss.workspaces.add(third)

        assert save(client, sari, workspaces=[third.pk]).status_code == 302
        assert list(sari.workspaces.all()) == [third]
        save(client, sari, workspaces=[third.pk, other.pk])
        assert list(sari.workspaces.all()) == [third]

    def test_keeps_a_workspace_that_the_editor_does_not_see(
        self, boss: User, sari: User, toko: Workspace, other: Workspace
    ) -> None:
        """The form was open when somebody else gave it."""
        from sessions_admin.admin.user_forms import UserForm

        class Form(UserForm):
            editor = boss

            class Meta:
                model = User
                fields = ["time_zone", "workspaces"]

        sari.workspaces.add(other)
        form = Form({"time_zone": "UTC", "workspaces": []}, instance=sari)
        assert form.is_valid(), form.errors
        form.save()

        assert list(sari.workspaces.all()) == [other]


class TestANewPerson:
    def add(self, client: Client, **more: Any) -> Any:
        form = {"username": "dewi", "password1": NEW, "password2": NEW, "usable_password": "true"}
        return client.post(f"{PEOPLE}add/", form | more)

    def test_starts_with_nothing(self) -> None:
        client = Client()
        client.force_login(staff("root", is_superuser=True))
        self.add(client)

        dewi = User.objects.get(username="dewi")
        assert (dewi.is_staff, dewi.sees_all, dewi.workspaces.count(), dewi.groups.count()) == (False, False, 0, 0)

    def test_of_somebody_with_one_workspace_works_there(self, client: Client, toko: Workspace) -> None:
        assert "workspaces" in self.add(client).context["adminform"].form.errors
        answer = self.add(client, is_staff="on", workspaces=[toko.pk])

        dewi = User.objects.get(username="dewi")
        assert (dewi.is_staff, list(dewi.workspaces.all())) == (True, [toko])
        assert client.get(answer["Location"]).status_code == 200

    def test_not_in_a_workspace_that_the_editor_does_not_see(self, client: Client, other: Workspace) -> None:
        assert "workspaces" in self.add(client, workspaces=[other.pk]).context["adminform"].form.errors

    def test_needs_a_long_password(self, client: Client, toko: Workspace) -> None:
        answer = self.add(client, workspaces=[toko.pk], password1="short-one-1", password2="short-one-1")

        assert "at least 12 characters" in answer.content.decode()


def test_nobody_takes_their_own_way_in(client: Client, boss: User) -> None:
    form = {"username": "boss", "time_zone": "UTC", "first_name": "Ibu"}
    assert client.post(f"{PEOPLE}{boss.pk}/change/", form).status_code == 302

    boss.refresh_from_db()
    assert (boss.first_name, boss.is_active, boss.is_staff) == ("Ibu", True, True)
    assert (boss.groups.count(), boss.workspaces.count()) == (1, 1)


def test_ones_own_password_needs_the_old_one(client: Client, boss: User, toko: Workspace) -> None:
    form = {"password1": "sebelas-batang-bambu-7", "password2": "sebelas-batang-bambu-7", "usable_password": "true"}
    answers = [client.get(f"{PEOPLE}{boss.pk}/password/"), client.post(f"{PEOPLE}{boss.pk}/password/", form)]

    assert [(answer.status_code, answer["Location"]) for answer in answers] == [(302, "/admin/password_change/")] * 2
    before = boss.password
    boss.refresh_from_db()
    assert boss.password == before
    assert client.get(f"{PEOPLE}{member('sari', toko).pk}/password/").status_code == 200


def test_a_role_demands_a_second_factor_on_its_page() -> None:
    root, group = staff("root", is_superuser=True), Group.objects.get(name="Viewer")
    client = Client()
    client.force_login(root)
    page = f"/admin/auth/group/{group.pk}/change/"
    assert "second factor required" in client.get(page).content.decode().lower()
    form = {"policy-TOTAL_FORMS": 1, "policy-INITIAL_FORMS": 0, "policy-0-second_factor": "on"}

    client.post(page, {"name": "Viewer", "permissions": [], "policy-0-group": group.pk} | form)

    assert RolePolicy.objects.get().second_factor
    assert client.get("/admin/")["Location"].startswith("/admin/login/")  # from the next request on


def test_the_page_says_who_has_a_second_factor() -> None:
    root = staff("root", is_superuser=True)
    client = Client()
    client.force_login(root)

    assert "not in use" in client.get(f"{PEOPLE}{root.pk}/change/").content.decode()
    assert PASSWORD not in client.get(f"{PEOPLE}{root.pk}/change/").content.decode()
