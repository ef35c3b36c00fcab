"""The linking page in a real Chromium, on a real server: what a person sees, without a reload."""

import io
import re

import pytest
import segno
from playwright.sync_api import Browser, expect

from accounts import qr, tasks
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Workspace
from accounts.pairing import attempts, bridge_events
from tests.linking.browser import (
    SIZES,
    Open,
    browser,
    expect_code,
    expect_view,
    open_page,
    publishes_from_a_thread,
    server,
    site,
    was_never_reloaded,
)
from tests.linking.conftest import QR_TEXT, Phone, address_of

__all__ = ["browser", "open_page", "publishes_from_a_thread", "server", "site"]

HEADINGS = {
    "en": ("Scan this code with WhatsApp", "Scanned. Almost done", "Linked"),
    "id": ("Pindai dengan WhatsApp", "Sudah dipindai. Hampir selesai", "Tertaut"),
}
RELOADED = 20_000  # without script the page reloads itself every 5 s

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("locale", HEADINGS)
def test_from_the_first_visit_to_linked(open_page: Open, phone: Phone, size: str, locale: str) -> None:
    scan, finishing, linked = HEADINGS[locale]
    page = open_page(size=size, locale=locale)
    expect_view(page, "preparing")  # the script has started it
    height = page.locator("main").bounding_box()
    phone.sees_code()
    expect(page.locator("h1")).to_have_text(scan)
    box = page.locator("[data-qr]").bounding_box()
    assert box is not None
    assert box["width"] >= 264
    expect_code(page, QR_TEXT)
    phone.scans()
    expect(page.locator("h1")).to_have_text(finishing)
    assert page.locator("[data-qr] > *").count() == 0  # a code that was scanned is not kept around
    phone.links()
    expect(page.locator("h1")).to_have_text(linked)
    expect(page.get_by_text("••• 8422").locator("visible=true")).to_be_visible()
    assert page.locator("main").bounding_box() == height  # nothing jumped
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert was_never_reloaded(page)


def test_in_line_the_place_counts_down_and_the_code_appears_by_itself(
    open_page: Open, phone: Phone, workspace: Workspace, bridge: Bridge
) -> None:
    Bridge.objects.update(pairings_at_once=1)
    others = [attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test") for _ in range(2)]
    page = open_page(size="phone")
    expect_view(page, "waiting")
    expect(page.locator("[data-place]")).to_have_text(re.compile(r"You are number\s+2\s+in line"))
    box = page.locator("main").bounding_box()
    attempts.force_reset(others[1].account_id)
    tasks.advance_line(bridge.pk)
    expect(page.locator("[data-slot=place]")).to_have_text("1")
    attempts.force_reset(others[0].account_id)
    tasks.advance_line(bridge.pk)
    expect_view(page, "preparing")
    phone.sees_code()
    expect_code(page, QR_TEXT)
    assert page.locator("main").bounding_box() == box
    assert was_never_reloaded(page)


def test_a_phone_that_cannot_scan_itself_asks_for_a_code_to_type(open_page: Open, phone: Phone) -> None:
    Bridge.objects.update(capabilities=["pairing_code"])
    page = open_page(size="phone")
    expect_view(page, "preparing")
    phone.sees_code()
    page.get_by_text("Link with a code instead").click()
    number, button = page.get_by_label("The phone's number"), page.get_by_role("button", name="Get a code")
    number.fill("12")
    button.click()
    expect(page.locator("[data-code-word]")).to_have_text(re.compile("country code"))
    number.fill("+62 811-6732-8422")
    button.click()
    expect(page.locator("[data-code-word]")).to_have_text("The code is on its way.")
    order = phone.session.orders.get(kind=BridgeOrder.Kind.PAIRING_CODE)
    assert order.phone_number == "6281167328422"
    bridge_events.pairing_code_shown(phone.session.pk, code="ABCD1234", expires_in=160)
    expect(page.get_by_text("ABCD1234")).to_be_visible()
    expect(button).to_be_hidden()
    expect_view(page, "scan")  # whoever has another screen may still scan


def test_a_newer_code_takes_the_place_of_the_old_one(open_page: Open, phone: Phone) -> None:
    phone.begins()
    phone.sees_code()
    page = open_page()
    expect_view(page, "scan")
    expect_code(page, QR_TEXT)
    phone.sees_code(QR_TEXT[::-1])
    expect_code(page, QR_TEXT[::-1])


def test_a_code_that_came_as_an_image_is_shown_and_read(open_page: Open, phone: Phone) -> None:
    session = phone.begins()
    image = io.BytesIO()
    segno.make(QR_TEXT).save(image, kind="png", scale=4, border=4)
    bridge_events.qr_shown(session.pk, qr=qr.Qr(png=image.getvalue()), expires_in=60)
    page = open_page()
    expect_code(page, QR_TEXT)


def test_a_code_that_nobody_scanned_gives_way_to_a_button(open_page: Open, phone: Phone) -> None:
    phone.begins()
    phone.sees_code()
    page = open_page(size="phone")
    expect(page.locator("[data-seconds]")).to_have_text(re.compile("1[12][0-9]"))
    bridge_events.given_up(phone.session.pk, reason="qr_timeout")
    expect_view(page, "expired")
    buttons = page.locator("button:visible")
    expect(buttons).to_have_count(1)
    buttons.click()
    expect_view(page, "preparing")
    assert page.evaluate("document.activeElement.tagName") == "H1"  # the button is gone, the focus is not lost
    assert LinkSession.objects.count() == 2


def test_a_browser_that_blocks_cookies_is_told_what_to_do(open_page: Open, phone: Phone) -> None:
    bridge_events.given_up(phone.begins().pk, reason="qr_timeout")
    page = open_page()
    expect_view(page, "expired")
    page.context.clear_cookies()
    page.locator("button:visible").click()
    expect_view(page, "unavailable")
    expect(page.get_by_text("Allow cookies for this site").locator("visible=true")).to_be_visible()
    page.locator("button:visible").click()
    expect_view(page, "unavailable")
    assert LinkSession.objects.count() == 1


def test_the_keyboard_is_enough(open_page: Open, phone: Phone) -> None:
    Bridge.objects.update(draining=True)
    page = open_page()
    expect_view(page, "unavailable")
    expect(page.get_by_text("All bridges are draining").locator("visible=true")).to_be_visible()
    Bridge.objects.update(draining=False)
    page.keyboard.press("Tab")
    expect(page.locator("button:focus")).to_have_text("Try again")
    page.keyboard.press("Enter")
    expect_view(page, "preparing")


def test_the_language_is_switched_by_a_link(open_page: Open, phone: Phone) -> None:
    phone.begins()
    phone.sees_code()
    page = open_page()
    page.get_by_role("link", name="Bahasa Indonesia").click()
    expect(page.locator("h1")).to_have_text(HEADINGS["id"][0])
    page.reload()
    expect(page.locator("h1")).to_have_text(HEADINGS["id"][0])


def test_it_works_without_script(open_page: Open, phone: Phone, account: Account, browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False, locale="id")
    page = context.new_page()
    page.goto(site + address_of(account))
    page.get_by_role("button", name="Tampilkan kode QR").click()
    expect_view(page, "preparing")
    phone.sees_code()
    expect_view(page, "scan", RELOADED)
    phone.links()
    expect(page.locator("h1")).to_have_text("Tertaut", timeout=RELOADED)
    account.refresh_from_db()
    assert account.status == Status.CONNECTED
    context.close()


def test_nothing_breaks_the_strict_policy(open_page: Open, phone: Phone, browser: Browser, site: str) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(site + address_of(phone.account))
    expect_view(page, "preparing")
    phone.sees_code()
    expect_view(page, "scan")
    assert complaints == []
    page.close()
