"""The admin in a real browser: what only JavaScript, styles and the content security policy can break."""

import pytest
from django.contrib import admin
from django.http import HttpRequest
from django.test import Client
from playwright.sync_api import Page, expect

from accounts.models import Account, User, Workspace
from accounts.pairing import attempts
from tests.sessions_admin.pages import MODELS, first, url
from tests.support.browser import browser_page
from tests.support.portal import make_bridge
from tests.support.servers import portal


def log_in(page: Page, base: str) -> None:
    page.goto(f"{base}/admin/")
    page.fill("#id_username", "alice")
    page.fill("#id_password", "alice-and-the-desk")
    page.click("button[type=submit]")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


@pytest.mark.needs("chromium")
@pytest.mark.django_db(transaction=True)
def test_staff_resets_an_account_and_invites_again() -> None:
    complaints: list[str] = []
    User.objects.create_superuser("alice", password="alice-and-the-desk")
    make_bridge("alpha")
    account = Account.objects.create(workspace=Workspace.objects.create(name="Toko Alice"), label="Kasir")
    session = attempts.start(account.pk, trigger="test")
    with portal() as base, browser_page(complaints) as page:
        log_in(page, base)
        page.goto(f"{base}/admin/accounts/account/?q=kasir")
        page.get_by_role("link", name="Kasir").click()

        page.get_by_role("link", name="Force reset").click()
        page.get_by_role("button", name="Force reset").click()
        expect(page.locator("#dialog")).to_contain_text("This field is required.")
        page.fill("#dialog textarea", "The shop has a new phone")
        page.get_by_role("button", name="Force reset").click()
        expect(page.locator(".ld-timeline li").first).to_contain_text("by alice · The shop has a new phone")

        page.get_by_role("link", name="Invite").click()
        page.get_by_role("button", name="Invite").click()
        expect(page.locator(".ld-secret")).to_contain_text(f"{base}/link/")
        page.get_by_role("link", name="Done").click()
        expect(page.get_by_role("link", name="Open invitations: 1")).to_be_visible()

    session.refresh_from_db()
    assert not session.is_open
    assert complaints == []


def test_an_inline_script_does_not_run_in_the_admin(as_alice: Client) -> None:
    policy = as_alice.get("/admin/")["Content-Security-Policy"]

    assert "script-src 'self' 'unsafe-eval';" in policy


def every_form(user: User) -> list[str]:
    """The addresses of all lists, and of each form and each question before a deletion that this user may open."""
    request = HttpRequest()
    request.user = user
    found = []
    for model in MODELS:
        page, row = admin.site.get_model_admin(model), first(model)
        found += [url(model, "changelist"), url(model, "changelist") + "?q=x", url(model, "change", row.pk)]
        found += [url(model, "add")] if page.has_add_permission(request) else []
        found += [url(model, "delete", row.pk)] if page.has_delete_permission(request, row) else []
    return found


@pytest.mark.needs("chromium")
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
def test_no_page_breaks_the_policy(alice: User, everything: None) -> None:
    complaints: list[str] = []
    alice.set_password("alice-and-the-desk")
    alice.save()
    addresses = every_form(alice)
    with portal() as base, browser_page(complaints) as page:
        log_in(page, base)
        for address in addresses:
            answer = page.goto(base + address)
            assert answer is not None
            assert answer.status == 200, address
            assert complaints == [], address

        page.goto(f"{base}/admin/auth/group/")
        page.locator("tbody input[type=checkbox]").first.check()
        page.locator("select[name=action]").select_option("delete_selected")
        page.locator("button[name=index]").click()
        expect(page.get_by_role("button", name="Yes, I’m sure")).to_be_visible()
        assert complaints == []

        page.goto(f"{base}/admin/accounts/account/")
        page.get_by_text("Filters").first.click()
        page.get_by_text("Connected").first.click()
        assert complaints == []


@pytest.mark.needs("chromium")
@pytest.mark.django_db(transaction=True)
def test_staff_gives_a_program_a_token() -> None:
    complaints: list[str] = []
    User.objects.create_superuser("alice", password="alice-and-the-desk")
    workspace = Workspace.objects.create(name="Toko Alice")
    with portal() as base, browser_page(complaints) as page:
        log_in(page, base)
        page.goto(f"{base}/admin/accounts/workspace/{workspace.pk}/change/")
        page.get_by_role("link", name="New token").click()
        page.fill("#dialog input[name=name]", "Cash desk")
        page.get_by_role("button", name="New token").click()
        expect(page.locator("#dialog")).to_contain_text("This field is required.")
        page.get_by_label("link: begin pairings").check()
        page.get_by_role("button", name="New token").click()
        expect(page.locator(".ld-secret")).to_contain_text("ld_")
        secret = page.locator(".ld-secret").inner_text()
        page.get_by_role("link", name="Done").click()
        expect(page.get_by_role("heading", name="Toko Alice")).to_be_visible()
        assert secret not in page.content()
    assert complaints == []
