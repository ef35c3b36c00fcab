"""The linking page in a real Chromium: how it keeps up, with a second tab, a cut socket, a slow answer."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Route, expect

from accounts.models import LinkInvitation, LinkSession
from tests.linking.browser import Open, browser, expect_view, open_page, publishes_from_a_thread, server, site
from tests.linking.conftest import Phone, address_of
from tests.support.browser import SOON

__all__ = ["browser", "open_page", "publishes_from_a_thread", "server", "site"]

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]


def test_a_phone_whose_first_answer_is_slow(open_page: Open, phone: Phone, link: str) -> None:
    page = open_page("/link/nobody/")
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def slow(route: Route) -> None:
        page.wait_for_timeout(2500)
        route.continue_()

    page.route("**/snapshot", slow)
    page.goto(page.url.replace("/link/nobody/", link))
    expect_view(page, "preparing")
    assert complaints == []
    page.unroute_all(behavior="ignoreErrors")  # one that still waits would fail the test that comes next


def test_the_countdown_asks_the_server_when_it_is_over(open_page: Open, phone: Phone) -> None:
    session = phone.begins()
    phone.sees_code()
    LinkSession.objects.filter(pk=session.pk).update(first_qr_at=timezone.now() - timedelta(seconds=108))
    page = open_page()
    expect_view(page, "scan")
    expect_view(page, "expired", 12_000 + SOON)


def test_a_second_tab_joins(open_page: Open, phone: Phone) -> None:
    first, second = open_page(), open_page()
    expect_view(second, "preparing")
    phone.sees_code()
    for page in (first, second):
        expect_view(page, "scan")
    assert LinkSession.objects.count() == 1


def test_without_a_socket_the_page_asks_every_3_seconds(open_page: Open, phone: Phone, link: str) -> None:
    page = open_page()
    sign = page.locator("[data-sign]")
    expect(sign).to_have_attribute("data-sign", "live")
    expect(sign).to_have_text(re.compile("Live"))
    blocked = page.context
    blocked.route_web_socket(re.compile("/ws/"), lambda socket: socket.close())
    page.reload()
    expect(sign).to_have_attribute("data-sign", "polling")
    phone.sees_code()
    expect_view(page, "scan")
    blocked.set_offline(True)
    expect(sign).to_have_attribute("data-sign", "offline")
    blocked.set_offline(False)
    expect(sign).to_have_attribute("data-sign", "polling")


def test_a_socket_that_is_cut_comes_back(open_page: Open, phone: Phone) -> None:
    page = open_page("/link/nobody/")
    sockets: list[Any] = []
    is_down = False

    def connect(route: Any) -> None:
        sockets.append(route)
        if is_down:
            route.close(code=1011)
        else:
            route.connect_to_server()

    page.context.route_web_socket(re.compile("/ws/"), connect)
    page.goto(page.url.replace("/link/nobody/", address_of(phone.account)))
    sign = page.locator("[data-sign]")
    expect(sign).to_have_attribute("data-sign", "live")
    is_down = True
    sockets[0].close(code=1011)
    expect(sign).to_have_attribute("data-sign", "polling")
    is_down = False
    expect(sign).to_have_attribute("data-sign", "live")


def test_a_link_that_is_revoked_meanwhile_says_so(open_page: Open, phone: Phone) -> None:
    phone.begins()
    page = open_page()
    expect(page.locator("[data-sign]")).to_have_attribute("data-sign", "live")
    for invitation in LinkInvitation.objects.all():
        invitation.revoke()
    phone.sees_code()
    expect(page.get_by_text("Ask Toko Alice for a new link.")).to_be_visible()
