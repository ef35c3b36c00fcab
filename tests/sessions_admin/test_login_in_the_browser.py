"""Logging in, in a real browser: what only scripts, styles and the content security policy can break."""

import time

import pytest
from playwright.sync_api import Route, expect

from accounts.access import second_factor
from accounts.models import User
from tests.sessions_admin.test_second_factor import shown_key
from tests.support.browser import browser_page
from tests.support.servers import portal
from tests.support.staff import OWN, PASSWORD, code_of, demand, staff


@pytest.mark.needs("chromium")
@pytest.mark.django_db(transaction=True)
def test_staff_sets_up_the_second_factor_and_logs_in_with_it() -> None:
    complaints: list[str] = []
    staff("sari", role="Support")
    demand("Support")
    with portal() as base, browser_page(complaints) as page:

        def give_password() -> None:
            page.goto(f"{base}/admin/accounts/account/")
            page.get_by_label("Username").fill("sari")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()

        give_password()
        expect(page.get_by_role("heading", name="Set up your second factor")).to_be_visible()
        expect(page.get_by_role("img", name="QR code for the authenticator app")).to_be_visible()
        page.get_by_text("You cannot scan it?").click()
        key = shown_key(page.content())
        page.get_by_label("Code of the app").fill("000000")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("alert")).to_contain_text("This code is not right.")
        expect(page.get_by_label("Code of the app")).to_be_focused()
        page.get_by_label("Code of the app").fill(code_of(key))
        page.keyboard.press("Enter")
        expect(page.locator(".ld-codes li")).to_have_count(10)
        recovery = page.locator(".ld-codes li").first.inner_text()
        page.get_by_role("link", name="I have kept them").click()
        expect(page).to_have_url(f"{base}/admin/accounts/account/")
        assert page.goto(f"{base}{OWN}")
        expect(page.get_by_text("10 recovery codes are left.")).to_be_visible()

        page.context.clear_cookies(name="sessionid")
        give_password()
        expect(page.get_by_label("Code of the app")).to_be_focused()
        page.get_by_text("The phone is not here?").click()
        page.get_by_label("Recovery code").fill(recovery)
        page.get_by_role("button", name="Use the recovery code").click()
        expect(page).to_have_url(f"{base}/admin/accounts/account/")

    assert complaints == []
    assert second_factor.recovery_codes_left(User.objects.get()) == 9


@pytest.mark.needs("chromium")
@pytest.mark.django_db(transaction=True)
def test_the_focus_is_in_the_first_field_on_a_slow_network() -> None:
    """Unfold shows the page when its script has come, and the browser gives the focus before that, to nothing."""
    complaints: list[str] = []
    with portal() as base, browser_page(complaints) as page:
        page.route("**/alpine.js", after_a_second)
        page.goto(f"{base}/admin/login/")
        expect(page.get_by_label("Username")).to_be_focused()
    assert complaints == []


def after_a_second(route: Route) -> None:
    time.sleep(1)
    route.continue_()
