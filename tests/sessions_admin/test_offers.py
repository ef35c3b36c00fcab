"""A button that makes sense now and that this person may not press is there, greyed, and says why."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client
from playwright.sync_api import expect

from accounts.access.roles import SUPPORT, VIEWER
from accounts.models import Account, Bridge, LinkInvitation, LinkSession, User, Workspace
from sessions_admin.admin import offers
from tests.sessions_admin.pages import MODELS, refused, url
from tests.sessions_admin.test_in_the_browser import log_in
from tests.support.browser import browser_page
from tests.support.portal import make_bridge
from tests.support.servers import portal


@pytest.fixture
def as_role(bob: User) -> Callable[[str], Client]:
    def with_role(role: str) -> Client:
        bob.groups.set([Group.objects.get(name=role)])
        client = Client()
        client.force_login(bob)
        return client

    return with_role


def page_of(client: Client, row: Model, **headers: str) -> str:
    answer = client.get(url(type(row), "change", row.pk), headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_viewer_sees_what_they_may_not_do_with_an_account_and_why(
    as_role: Callable[[str], Client], linked: Account
) -> None:
    assert refused(page_of(as_role(VIEWER), linked)) == {
        "New QR code": "Needs the permission “Can order a new QR code”. Ask an administrator.",
        "Invite": "Needs the permission “Can add: invitations”. Ask an administrator.",
        "Force reset": "Needs the permission “Can force a reset”. Ask an administrator.",
    }
    assert refused(page_of(as_role(SUPPORT), linked)) == {}


def test_the_reason_is_in_the_language_of_the_reader(as_role: Callable[[str], Client], linked: Account) -> None:
    reasons = refused(page_of(as_role(VIEWER), linked, **{"Accept-Language": "id"}))

    assert reasons["Kode QR baru"] == "Perlu izin “Dapat meminta kode QR baru”. Hubungi administrator."


def test_a_button_that_is_refused_leads_nowhere(as_role: Callable[[str], Client], linked: Account) -> None:
    page = page_of(as_role(VIEWER), linked)

    assert "force_reset" not in page
    assert as_role(VIEWER).get(url(Account, "force_reset", linked.pk)).status_code == 403


def test_what_makes_no_sense_now_is_not_shown_at_all(as_role: Callable[[str], Client], linked: Account) -> None:
    Account.objects.filter(pk=linked.pk).update(status="connected")

    assert set(refused(page_of(as_role(VIEWER), linked))) == {"Invite", "Force reset", "Move", "Send test message"}


def test_the_page_of_an_invitation_says_why_it_is_not_revoked_here(
    as_role: Callable[[str], Client], linked: Account, alice: User
) -> None:
    LinkInvitation.issue(linked, created_by=alice)

    assert set(refused(page_of(as_role(VIEWER), LinkInvitation.objects.get()))) == {"Revoke"}


def test_a_name_that_may_not_be_opened_is_no_link(as_bob: Callable[..., Client], session: LinkSession) -> None:
    def names(client: Client) -> list[str]:
        return re.findall(r'<a href="([^"]*)" class="text-link">', page_of(client, session))

    assert names(as_bob("accounts.view_linksession")) == []
    opened = [url(Account, "change", session.account_id), url(Bridge, "change", session.bridge_id)]
    assert names(as_bob("accounts.view_account", "accounts.view_bridge")) == opened


def buttons() -> list[tuple[type[Model], str]]:
    return [
        (model, permission)
        for model in MODELS
        for action in admin.site.get_model_admin(model)._get_base_actions_detail()  # type: ignore[attr-defined]
        for permission in action.method.allowed_permissions
    ]


@pytest.mark.parametrize(("model", "permission"), sorted(set(buttons()), key=str))
def test_the_permission_that_is_named_is_the_one_that_is_asked_for(
    bob: User, model: type[Model], permission: str
) -> None:
    page: Any = admin.site.get_model_admin(model)
    labels = offers.needed(page, permission)
    grant(bob, f"{model._meta.app_label}.view_{model._meta.model_name}", "accounts.view_account")
    assert not may(page, permission, bob)

    grant(bob, *labels)

    assert may(page, permission, bob)
    assert not {label for label in labels if offers.in_words(label) == label}


def may(page: Any, permission: str, user: User) -> bool:
    request = HttpRequest()
    request.user = User.objects.get(pk=user.pk)  # permissions are remembered for as long as the object lives
    another = User.objects.get_or_create(username="carol")[0]  # of a person's buttons: one's own has some less
    return bool(getattr(page, f"has_{permission}_permission")(request, str(another.pk)))


def grant(user: User, *labels: str) -> None:
    for label in labels:
        app, codename = label.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))


@pytest.mark.needs("chromium")
@pytest.mark.django_db(transaction=True)
def test_the_keyboard_reaches_the_reason() -> None:
    complaints: list[str] = []
    person = User.objects.create_user("alice", password="alice-and-the-desk", is_staff=True, all_workspaces=True)
    grant(person, "accounts.view_account")
    make_bridge("alpha")
    account = Account.objects.create(workspace=Workspace.objects.create(name="Toko Alice"), label="Kasir")
    with portal() as base, browser_page(complaints) as page:
        log_in(page, base)
        page.goto(base + url(Account, "change", account.pk))
        button = page.get_by_role("button", name="Force reset")
        reason = page.get_by_text("Needs the permission “Can force a reset”. Ask an administrator.")
        expect(reason).not_to_be_visible()
        button.focus()
        expect(reason).to_be_visible()
        expect(button).to_have_accessible_description("Needs the permission “Can force a reset”. Ask an administrator.")
        page.keyboard.press("Enter")
        expect(page.locator("#dialog")).to_have_count(0)
    assert complaints == []
