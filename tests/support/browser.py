"""A real Chromium: how it is launched, and what its pages complain of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SOON = 15_000  # milliseconds, on a busy machine: the server's poller looks every 2 s
expect.set_options(timeout=SOON)


@contextmanager
def chromium() -> Iterator[Browser]:
    """While it runs, its event loop keeps this thread from the database, unless DJANGO_ALLOW_ASYNC_UNSAFE is set."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        yield browser
        browser.close()


def note_complaints(page: Page, complaints: list[str]) -> None:
    """What its scripts raise, and what its console says of errors, such as of the content security policy."""
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))


@contextmanager
def browser_page(complaints: list[str]) -> Iterator[Page]:
    """One page in a browser of its own. Not a fixture: it must not run while the test looks into the database."""
    with chromium() as browser:
        page = browser.new_page(locale="en-US")
        note_complaints(page, complaints)
        yield page
