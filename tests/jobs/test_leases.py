"""A lease has one holder at a time, whoever asks at once."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.jobs import leases
from accounts.models import Lease


@pytest.mark.django_db
class TestOneHolder:
    def test_who_takes_it_first_has_it_and_others_do_not(self) -> None:
        first = leases.take("job", seconds=30)

        assert first is not None
        assert leases.take("job", seconds=30) is None

    def test_who_lets_go_leaves_it_to_the_next_with_a_word(self) -> None:
        first = leases.take("job", seconds=30)
        assert first is not None
        assert leases.release("job", first, result="3 rows")

        assert leases.take("job", seconds=30) is not None
        assert Lease.objects.get(name="job").result == "3 rows"

    def test_who_died_loses_it_when_its_time_is_over(self) -> None:
        first = leases.take("job", seconds=30)
        Lease.objects.update(until=timezone.now() - timedelta(seconds=1))

        second = leases.take("job", seconds=30)

        assert second is not None
        assert first is not None
        assert not leases.release("job", first)
        assert not leases.extend("job", first, seconds=30)
        assert leases.take("job", seconds=30) is None

    def test_the_same_holder_may_take_it_again(self) -> None:
        assert leases.take("line", seconds=30, holder="order:1")
        assert leases.take("line", seconds=30, holder="order:1")
        assert leases.take("line", seconds=30, holder="order:2") is None

    def test_what_was_due_before_somebody_did_it_is_not_done_again(self) -> None:
        due = timezone.now()
        first = leases.take("job", seconds=30, due=due)
        assert first is not None
        leases.release("job", first)

        assert leases.take("job", seconds=30, due=due) is None
        assert leases.take("job", seconds=30, due=timezone.now()) is not None


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_of_twenty_at_once_one_gets_it() -> None:
    got: list[str | None] = []

    def ask() -> None:
        try:
            got.append(leases.take("job", seconds=30))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == 20
    assert sum(holder is not None for holder in got) == 1
