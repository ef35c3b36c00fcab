"""Tests that need more than Python: `@pytest.mark.needs("chromium")`.

Every test is collected everywhere. One that needs what this run does not have is deselected, and a line at the end
says how many there are and what they need. A need is a program on the PATH, or `MariaDB` or `Redis`: the services that
the suite itself runs on, set by `DATABASE_URL` and `REDIS_URL`.
"""

import shutil
from collections import Counter

import pytest
from django.conf import settings

from tests.support.workers import report, reports_of


def is_there(need: str) -> bool:
    if need == "MariaDB":
        return bool(settings.DATABASES["default"]["ENGINE"] == "django.db.backends.mysql")
    if need == "Redis":
        return bool(settings.REDIS_URL)
    return shutil.which(need) is not None


def missing_for(item: pytest.Item) -> list[str]:
    """What the test needs and this run does not have, in the order in which its marks name it."""
    return [need for mark in item.iter_markers("needs") for need in mark.args if not is_there(need)]


@pytest.hookimpl(trylast=True)  # of what was asked for by -k and -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = {item: missing_for(item) for item in items}
    report(config, left_out=dict(Counter(", ".join(needs) for needs in missing.values() if needs)))
    config.hook.pytest_deselected(items=[item for item, needs in missing.items() if needs])
    items[:] = [item for item, needs in missing.items() if not needs]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for left_out in reports_of("left_out")[:1]:  # all processes collect the same
        if left_out:
            kinds = "; ".join(f"{number} for want of {needs}" for needs, number in left_out.items())
            terminalreporter.line(f'tests left out: {kinds}. With those there: make test ARGS="-m needs" (README.md)')
