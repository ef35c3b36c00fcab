"""A real browser for the admin."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
expect.set_options(timeout=15_000)  # milliseconds, on a busy machine


@contextmanager
def browser_page(complaints: list[str]) -> Iterator[Page]:
    """A page whose console, where the content security policy complains, is written to `complaints`.

    Not a fixture: while the browser runs, its event loop keeps this thread from the database.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(locale="en-US")
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        browser.close()
