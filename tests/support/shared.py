"""Rows that all tests of a module begin with, made once: each test finds them as they were made.

For modules of many short tests, where to make the rows takes longer than what is tested.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction


@pytest.fixture(scope="module")
def shared_rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A transaction around the module's tests, for fixtures of this scope to write in. A test's own, from `db`, is a
    savepoint in it, and is rolled back as ever. No test of the module may be transactional."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch, transaction.atomic():
        patch.setattr(connection, "close", lambda: None)  # Django closes it after each test
        yield
        transaction.set_rollback(True)
