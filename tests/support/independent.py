"""What is the same whatever database the suite runs on, for `.ci/run`: `pytest -m "not independent"`.

A test is independent by what it is, and no list of them is kept: it has no database, so that pytest-django refuses it
one, and needs neither MariaDB nor Redis as the suite's own. It computes, or starts an installation with services of
its own. CI has run all of these on SQLite, and does not repeat them on MariaDB.
"""

import pytest

OF_THE_SUITE = {"MariaDB", "Redis"}


def is_independent(item: pytest.Item) -> bool:
    needs = {need for mark in item.iter_markers("needs") for need in mark.args}
    has_database = item.get_closest_marker("django_db") or "django_db_setup" in getattr(item, "fixturenames", ())
    return not has_database and needs.isdisjoint(OF_THE_SUITE)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` is looked at."""
    for item in items:
        if is_independent(item):
            item.add_marker("independent")
