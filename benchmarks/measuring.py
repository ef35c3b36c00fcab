"""What the benchmarks have in common: a test database to run on, how long a call takes, how many queries."""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def on_a_test_database(measure: Callable[[], None]) -> None:
    """Run it on a database of its own beside the one that the environment names."""
    import django

    django.setup()

    from django.test.utils import setup_test_environment

    setup_test_environment()
    from django.db import connection

    old = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        measure()
    finally:
        connection.creation.destroy_test_db(old, verbosity=0)


def count_queries(call: Callable[[], Any]) -> int:
    from django.db import connection

    queries: list[str] = []

    def count(execute: Any, sql: str, *more: Any) -> Any:
        queries.append(sql)
        return execute(sql, *more)

    with connection.execute_wrapper(count):
        call()
    return len(queries)


def median(call: Callable[[], Any], *, rounds: int) -> float:
    """Milliseconds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000
