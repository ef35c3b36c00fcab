"""The linking page as a person opens it, in a real Chromium, on a real server."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from accounts.broadcasts import publish
from tests.support.browser import SOON, chromium
from tests.support.servers import portal

SIZES: dict[str, ViewportSize] = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, chromium() as browser:
        # Playwright's sync API runs an event loop in this thread, which Django takes for an asynchronous caller.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield browser


@pytest.fixture(autouse=True)
def publishes_from_a_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Playwright's loop runs in this thread, and publishing waits for a loop: it would refuse."""
    with ThreadPoolExecutor(1) as thread:

        def elsewhere(*moved: Any) -> None:
            thread.submit(publish, *moved).result()

        monkeypatch.setattr("accounts.models.account.publish", elsewhere)
        yield


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[str]:
    """One for all tests of a module. What it remembers goes by the ids of rows, and no id comes twice."""
    with portal(LINKDESK_LOG_LEVEL="ERROR") as url:
        yield url


@pytest.fixture
def site(server: str, transactional_db: None) -> str:
    return server


@pytest.fixture
def open_page(browser: Browser, site: str, link: str) -> Iterator[Open]:
    contexts: list[BrowserContext] = []

    def open_page(path: str = link, *, size: str = "desktop", locale: str = "en", **options: Any) -> Page:
        context = browser.new_context(viewport=SIZES[size], locale=locale, **options)
        contexts.append(context)
        page = context.new_page()
        page.goto(site + path)
        page.evaluate("window.sameDocument = true")
        return page

    yield open_page
    for context in contexts:
        context.close()


def was_never_reloaded(page: Page) -> bool:
    return bool(page.evaluate("window.sameDocument === true"))


def expect_code(page: Page, text: str) -> None:
    """What a phone's camera reads, once it is painted."""
    read = []
    for _ in range(SOON // 100):
        picture = Image.open(io.BytesIO(page.locator("[data-qr]").screenshot()))
        read = [code.text for code in zxingcpp.read_barcodes(picture)]
        if read == [text]:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"the code reads {read}")


def expect_view(page: Page, view: str, timeout: float = SOON) -> None:
    expect(page.locator(f'main[data-view="{view}"]')).to_be_visible(timeout=timeout)
