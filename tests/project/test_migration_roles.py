"""0024 and 0025: an installation with staff and two workspaces gets roles, and nobody loses what they could see."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from accounts.access import roles
from accounts.models import Account, User
from accounts.pairing import attempts
from tests.support.migrations import before, migrate, newest_after_all
from tests.support.portal import make_bridge

FIRST = ("accounts", "0024_access")

__all__ = ["newest_after_all"]

pytestmark = pytest.mark.usefixtures("newest_after_all")

# Of each person of then: their permissions, their group's, and what they could see.
STAFF = {
    "viewer": (["view_account"], "", {"codes"}),
    "reader": (["view_message"], "", {"texts"}),
    "changer": (["change_message"], "", {"texts"}),
    "postmaster": (["view_webhookevent"], "", {"texts"}),
    "helper": ([], "Support", {"codes", "texts"}),
    "clerk": (["view_workspace"], "", set()),
}
SUPPORT_OF_THEN = ["view_account", "view_message", "delete_linkinvitation"]


def permission(apps: Any, name: str) -> Any:
    return apps.get_model("auth", "Permission").objects.get(codename=name)


def people_of_then(apps: Any) -> None:
    """Staff of all kinds, and two workspaces of which Rina is a member of one."""
    make = apps.get_model("accounts", "User").objects.create
    support = apps.get_model("auth", "Group").objects.create(name="Support")
    support.permissions.set([permission(apps, name) for name in SUPPORT_OF_THEN])
    for username, (granted, group, _) in STAFF.items():
        person = make(username=username, is_staff=True)
        person.user_permissions.set([permission(apps, name) for name in granted])
        person.groups.set([support] if group else [])
    make(username="root", is_staff=True, is_superuser=True)
    make(username="gone", is_staff=True, is_active=False)
    make(username="customer")
    for name in ("Toko Alice", "Toko Zeta"):
        workspace = apps.get_model("accounts", "Workspace").objects.create(name=name)
        apps.get_model("accounts", "Account").objects.create(workspace=workspace, label=f"Kasir of {name}")
    workspace.members.add(make(username="rina", is_staff=True))


def as_then() -> Any:
    """The tables before, without what the newest version left in them: groups, and the new permissions."""
    apps = migrate(*before(FIRST))
    apps.get_model("auth", "Group").objects.all().delete()
    apps.get_model("auth", "Permission").objects.filter(codename__in=("see_codes", "read_bodies")).delete()
    return apps


def client_of(username: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(username=username))
    return client


def may(username: str) -> set[str]:
    user = User.objects.get(username=username)
    names = {"codes": "accounts.see_codes", "texts": "accounts.read_bodies"}
    return {what for what, name in names.items() if user.has_perm(name)}


def test_nobody_loses_access() -> None:
    people_of_then(as_then())

    migrate()

    sees_all = {name: User.objects.get(username=name).all_workspaces for name in (*STAFF, "root", "gone", "rina")}
    assert set(sees_all.values()) == {True}
    assert not User.objects.get(username="customer").all_workspaces
    assert {name: may(name) for name in STAFF} == {name: seen for name, (_, _, seen) in STAFF.items()}
    page = client_of("viewer").get("/admin/accounts/account/").content.decode()
    assert "Kasir of Toko Alice" in page
    assert "Kasir of Toko Zeta" in page
    assert User.objects.get(username="rina").workspaces.count() == 1


def test_who_saw_the_code_of_an_account_still_does() -> None:
    people_of_then(as_then())
    migrate()
    make_bridge("alpha")
    account = Account.objects.get(label="Kasir of Toko Zeta")
    attempts.start(account.pk, trigger="test")

    asked: dict[str, str | int] = {"workspace_id": account.workspace_id, "account": str(account.uuid)}
    for username, status in (("viewer", 200), ("helper", 200), ("clerk", 403), ("customer", 401)):
        assert client_of(username).get("/api/whatsapp/pair", asked).status_code == status, username


def test_new_people_see_nothing() -> None:
    people_of_then(as_then())
    migrate()

    new = User.objects.create(username="new", is_staff=True)

    assert not new.all_workspaces
    assert not new.workspaces_seen().exists()


def test_a_group_with_the_name_of_a_role_keeps_what_it_grants() -> None:
    people_of_then(as_then())
    migrate()

    helper = User.objects.get(username="helper")
    assert helper.has_perm("accounts.delete_linkinvitation")
    assert not helper.has_perm("accounts.reset_account")
    assert not User.objects.get(username="clerk").has_perm("accounts.view_account")


def test_there_and_back_and_there_again() -> None:
    people_of_then(as_then())
    migrate()
    migrate(*before(FIRST))
    assert {"Support", roles.LEAD} <= set(Group.objects.values_list("name", flat=True))

    migrate()

    assert {name: may(name) for name in STAFF} == {name: seen for name, (_, _, seen) in STAFF.items()}
    for role in (roles.VIEWER, roles.LEAD, roles.ADMINISTRATOR):
        granted = Permission.objects.filter(group__name=role).values_list("content_type__app_label", "codename")
        assert {".".join(names) for names in granted} == set(roles.permissions_of(role)), role
