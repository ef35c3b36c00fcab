"""How long a connection waits for a lock is set back, and a connection that broke hides no error."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from django.db import Error, OperationalError, connection, transaction

from accounts.db.transactions import hardly_waiting, patiently
from accounts.models import Workspace

pytestmark = pytest.mark.django_db(transaction=True)


def how_long() -> int:
    asked = "PRAGMA busy_timeout" if connection.vendor == "sqlite" else "SELECT @@innodb_lock_wait_timeout"
    with connection.cursor() as cursor:
        cursor.execute(asked)
        return int(cursor.fetchone()[0])


def breaks() -> None:
    """As when the database was started anew, or has killed the connection."""
    if connection.vendor == "sqlite":
        connection.connection.close()
        return
    with connection.cursor() as cursor, suppress(Error):
        cursor.execute(f"KILL {connection.connection.thread_id()}")


def in_a_turn(act: Callable[[], None]) -> None:
    patiently(act)()


def hardly(act: Callable[[], None]) -> None:
    with hardly_waiting():
        act()


@pytest.mark.parametrize("waiting", [in_a_turn, hardly])
class TestItIsSetBack:
    def test_after_a_good_end(self, waiting: Callable[[Callable[[], None]], None]) -> None:
        before, within = how_long(), []
        waiting(lambda: within.append(how_long()))
        assert within != [before]
        assert how_long() == before

    @pytest.mark.parametrize("error", [OperationalError(1205, "Lock wait timeout exceeded"), ValueError("broken")])
    def test_after_an_error(self, waiting: Callable[[Callable[[], None]], None], error: Exception) -> None:
        def fails() -> None:
            raise error

        before = how_long()
        with pytest.raises(type(error)):
            waiting(fails)
        assert how_long() == before

    def test_on_a_connection_that_broke(self, waiting: Callable[[Callable[[], None]], None]) -> None:
        """The first error is the one that is told."""

        def breaks_off() -> None:
            breaks()
            raise ValueError("the first error")

        before = how_long()
        with pytest.raises(ValueError, match="the first error"):
            waiting(breaks_off)
        assert how_long() == before
        assert not Workspace.objects.exists()


def test_the_databases_own_error_is_told() -> None:
    def breaks_off() -> None:
        with transaction.atomic():
            breaks()
            Workspace.objects.exists()

    with pytest.raises(Error):
        hardly(breaks_off)
    assert not Workspace.objects.exists()
