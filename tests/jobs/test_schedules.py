"""What runs on a schedule: which rows the queue has, in which lane, and a job under its lease."""

import inspect
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.brokers.orm import ORM
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler

from accounts.housekeeping import retention
from accounts.jobs import leases, queue, running, schedules
from accounts.jobs.schedules import JOBS
from accounts.models import Lease
from tests.support.queue import run_due_tasks

pytestmark = pytest.mark.django_db

JOB = "delete what has grown old"
LEFT = "has run since, or runs elsewhere"
SEPARATE = {"orders": "orders", "default": "default", "low": "low"}


@pytest.fixture
def lanes(settings: Any) -> None:
    settings.LINKDESK_LANES = SEPARATE


def lease() -> Lease:
    return Lease.objects.get(name=running.lease_of(JOB))


class TestSynchronise:
    def test_one_row_for_each_job_in_its_lane(self, lanes: None) -> None:
        call_command("synchronise")
        rows = {row.name: (row.cluster, row.minutes, row.func, row.args) for row in Schedule.objects.all()}
        assert rows == {job.name: (job.lane, job.minutes, "accounts.jobs.running.run", repr(job.name)) for job in JOBS}
        assert rows["deliver forgotten orders"][0] == "orders"
        assert rows[JOB][0] == "low"

    def test_where_all_lanes_are_one_a_single_worker_does_everything(self) -> None:
        schedules.synchronise()
        assert set(configured.LINKDESK_LANES.values()) == {"default"}
        assert set(Schedule.objects.values_list("cluster", flat=True)) == {"default"}

    def test_again_it_changes_no_time_and_removes_what_is_no_job(self) -> None:
        moment = timezone.now() + timedelta(seconds=33)
        Schedule.objects.update(next_run=moment)
        Schedule.objects.create(name="of an older version", func="gone.away")
        first = Schedule.objects.get(name=JOB)
        Schedule.objects.create(name=JOB, func="made.twice")
        schedules.synchronise()
        assert Schedule.objects.count() == len(JOBS)
        assert Schedule.objects.get(name=JOB).pk == first.pk
        assert set(Schedule.objects.values_list("next_run", flat=True)) == {moment}

    def test_tasks_of_a_lane_that_is_no_more_are_not_forgotten(self) -> None:
        queue.put("accounts.tasks.sweep_orders", key="orders")
        schedules.synchronise()
        assert OrmQ.objects.get().key == "default"

    @pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
    def test_every_job_is_there_and_takes_nothing(self, job: schedules.Job) -> None:
        inspect.signature(import_string(job.function)).bind()
        assert job.lane in SEPARATE


class TestLanes:
    @pytest.mark.parametrize("delay", [0, 5])
    def test_each_task_goes_into_its_own(self, lanes: None, delay: float) -> None:
        queue.enqueue("deliver_order", 1, delay=delay)
        queue.enqueue("settle_order", 1, delay=delay)
        queue.enqueue("expire_session", 1, delay=delay)
        assert [(row.func().split(".")[-1], row.key) for row in OrmQ.objects.order_by("pk")] == [
            ("deliver_order", "orders"),
            ("settle_order", "orders"),
            ("expire_session", "default"),
        ]
        assert ORM("orders").queue_size() == (0 if delay else 2)

    def test_what_a_dead_cluster_had_taken_is_due_at_once_and_nothing_else(self) -> None:
        for delay in (0, 5):
            queue.enqueue("expire_session", 1, delay=delay)
        queue.put("accounts.tasks.expire_session", 1, key="orders")
        taken, later, elsewhere = OrmQ.objects.order_by("pk")
        due = later.lock
        assert [pk for pk, _payload in ORM("default").dequeue()] == [taken.pk]
        ORM("orders").dequeue()
        # One in ten thousand is not told from a task for later, and waits.
        OrmQ.objects.filter(pk__in=[taken.pk, elsewhere.pk], lock__gt=timezone.now()).update(
            lock=timezone.now().replace(microsecond=123_456) + timedelta(seconds=120)
        )
        assert queue.free("default") == 1
        assert [pk for pk, _payload in ORM("default").dequeue()] == [taken.pk]
        later.refresh_from_db()
        assert later.lock == due
        assert ORM("orders").queue_size() == 0


class TestAJob:
    @pytest.mark.django_db(transaction=True)  # the queue closes connections
    def test_from_the_schedule_to_its_result(self) -> None:
        schedules.synchronise()
        Schedule.objects.filter(name=JOB).update(next_run=timezone.now() - timedelta(hours=5))
        Schedule.objects.exclude(name=JOB).update(next_run=timezone.now() + timedelta(hours=1))
        for _ in range(2):  # five hours late: once
            scheduler(ORM("default"))
        assert OrmQ.objects.count() == 1
        assert run_due_tasks() == 1
        assert lease().result.startswith("messages 0, orders 0, ")
        assert lease().holder == ""
        assert lease().released_at is not None

    def test_while_one_is_at_it_another_does_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[str] = []
        monkeypatch.setattr(retention, "run", lambda: seen.append(running.run(JOB)))
        running.run(JOB)
        assert seen == [LEFT]

    def test_after_a_jam_one_run_is_enough(self) -> None:
        due = [(timezone.now() - timedelta(minutes=minutes)).isoformat() for minutes in (3, 2, 1)]
        assert [running.run(JOB, due=each) for each in due][1:] == [LEFT] * 2
        assert running.run(JOB, due=timezone.now().isoformat()) != LEFT

    def test_one_that_was_killed_on_the_way_has_not_run(self) -> None:
        due = timezone.now() - timedelta(seconds=1)
        leases.take(running.lease_of(JOB), seconds=running.LEASE)
        assert running.run(JOB, due=due.isoformat()) == LEFT
        Lease.objects.update(until=F("until") - timedelta(seconds=running.LEASE + 1))
        assert running.run(JOB, due=due.isoformat()).startswith("messages")

    @pytest.mark.django_db(transaction=True)
    def test_one_that_has_more_to_do_goes_on_until_it_is_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pieces = [running.Unfinished(messages=5), running.Unfinished(messages=5), {"messages": 1}]
        monkeypatch.setattr(retention, "run", lambda: pieces.pop(0))
        running.run(JOB)
        assert OrmQ.objects.get().key == queue.key_of("low")
        assert run_due_tasks() == 2
        assert (pieces, lease().result) == ([], "messages 1")

    @pytest.mark.django_db(transaction=True)
    def test_two_chains_become_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The schedule's own run comes between two pieces."""
        monkeypatch.setattr(retention, "run", lambda: running.Unfinished(messages=5))
        running.run(JOB)
        running.run(JOB)
        assert OrmQ.objects.count() == 2
        run_due_tasks()
        assert OrmQ.objects.count() == 1

    def test_one_that_fails_says_so_without_its_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> None:
            raise ValueError("6281167328422")

        monkeypatch.setattr(retention, "run", fail)
        with pytest.raises(ValueError, match="6281"):
            running.run(JOB)
        assert (lease().holder, lease().result) == ("", "failed: ValueError")

    def test_nobody_holds_a_lease_longer_than_the_queue_lets_a_task_live(self) -> None:
        assert configured.Q_CLUSTER["timeout"] < running.LEASE < configured.Q_CLUSTER["retry"]
