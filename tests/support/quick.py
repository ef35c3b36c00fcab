"""The quick half of the suite, for `make check`: `pytest -m quick`.

A test is quick by what it is, and no list of them is kept. It is not marked slow or a race, it needs no program, and no
mark gives it a longer time-out; it needs no transactional database, whose tables are emptied after it; it runs no
server; and it is not one of twenty cases or more of one function, as those that try every page and every route.
"""

from collections import Counter

import pytest

NOT_QUICK = ("slow", "race", "needs", "timeout", "asyncio")  # what is asynchronous talks to a bridge or a socket
SERVERS = frozenset({"node", "live_server", "transactional_db"})
CASES = 20


def is_quick(item: pytest.Item) -> bool:
    if any(item.get_closest_marker(name) for name in NOT_QUICK):
        return False
    database = item.get_closest_marker("django_db")
    is_transactional = database is not None and database.kwargs.get("transaction", False)
    return not is_transactional and SERVERS.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` is looked at."""
    cases = Counter(_function_of(item) for item in items)
    for item in items:
        if is_quick(item) and cases[_function_of(item)] < CASES:
            item.add_marker("quick")


def _function_of(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]
