"""Migration 0009 with rows in the tables: what notes and inbox said of processes is known on both sides of it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Bridge, BridgeProcess, LinkSession, ReconcileRun
from accounts.reconcile import processes
from tests.support.lists import beat
from tests.support.migrations import migrate, newest_after_all
from webhooks.models import WebhookEvent

BEFORE, AFTER = ("accounts", "0007_rival_seen_at"), ("accounts", "0009_bridge_processes")
LEAVING = "It says that it is shutting down."

__all__ = ["newest_after_all"]

pytestmark = pytest.mark.django_db(transaction=True)


def ago(minutes: float) -> datetime:
    return timezone.now() - timedelta(minutes=minutes)


def was_replaced_in_notes(runs: Any, boot: str, by: str) -> bool:
    """As the code before 0009 asked."""
    gone = runs.filter(note__contains=f"process {boot} was replaced by ").order_by("pk").first()
    return gone is not None and runs.filter(pk__gte=gone.pk, note__contains=f"was replaced by {by}.").exists()


@pytest.mark.usefixtures("newest_after_all")
class TestForwards:
    @pytest.fixture
    def bridge(self, session: LinkSession) -> Bridge:
        """A, B and C followed each other; A and B told of the session, and the inbox has forgotten A's words."""
        self.later = LinkSession.objects.create(
            session_id="later", account=session.account, bridge=session.bridge, ended_at=timezone.now()
        )
        LinkSession.objects.update(applied_boot="A")
        said = [(session, "B"), (session, "B"), (self.later, "b."), (self.later, "B"), (self.later, "")]
        for number, (about, boot) in enumerate(said):
            told = {"event": "x", "payload": {}, "replay_key": str(number), "boot": boot, "state": "applied"}
            WebhookEvent.objects.create(bridge=session.bridge, session=about, **told)
        apps = migrate(BEFORE)
        bridge = apps.get_model("accounts", "Bridge").objects.get()
        bridge.boot, bridge.says_draining, bridge.last_heard_at = "C", True, timezone.now()
        bridge.save()
        run = apps.get_model("accounts", "ReconcileRun").objects.create
        run(bridge=bridge, at=ago(90), note=f"{LEAVING} Started anew: process A was replaced by B.")
        run(bridge=bridge, at=ago(20), note="Started anew: process B was replaced by C. An absence proves nothing.")
        run(bridge=bridge, at=ago(9), note="Different processes answer.")
        run(bridge=bridge, at=ago(8), note="Sessions came back that nobody had started. 3 more.")
        run(bridge=bridge, at=ago(7), note="Started anew at 2026-11-30 10:00:00 UTC.")
        run(bridge=bridge, at=ago(2), note=LEAVING)
        migrate()
        return Bridge.objects.get()

    def test_who_replaced_whom(self, bridge: Bridge) -> None:
        told = {(boot, by) for boot in "ABC" for by in "ABC" if processes.was_replaced(bridge.pk, boot, by=by)}
        assert told == {("A", "B"), ("A", "C"), ("B", "C")}
        assert set(bridge.processes.values_list("boot", flat=True)) == {"A", "B", "C", "b."}

    def test_for_how_long_it_is_known(self, bridge: Bridge) -> None:
        def identified(boot: str) -> tuple[bool, bool]:
            process = processes.identify(bridge, boot=boot, booted_at=None)
            return process.several, process.is_new

        assert identified("B") == (True, False)
        assert identified("A") == (False, True)  # more than an hour ago
        assert identified("C") == (False, False)

    def test_who_told_first_of_a_session(self, bridge: Bridge, session: LinkSession) -> None:
        def told(pk: int, boot: str, other: str) -> bool:
            return processes.told_before(pk, bridge_id=bridge.pk, boot=boot, other=other)

        assert (told(session.pk, "A", "B"), told(session.pk, "B", "A")) == (True, False)
        assert (told(self.later.pk, "b.", "B"), told(self.later.pk, "B", "b.")) == (True, False)
        assert not told(session.pk, "b.", "B")

    def test_signs_and_since_when_it_leaves(self, bridge: Bridge) -> None:
        signs = ReconcileRun.objects.exclude(sign="").order_by("pk").values_list("sign", flat=True)
        assert list(signs) == ["several", "came_back"]
        assert bridge.says_draining_since == ReconcileRun.objects.get(note=LEAVING).at


@pytest.mark.usefixtures("newest_after_all")
class TestBackwards:
    @pytest.fixture
    def runs(self, bridge: Bridge) -> Any:
        """The log as the older code finds it, of which nothing is left but for one sign in other words."""
        for boot in ("A", "B", "C"):
            beat(boot=boot)
        beat(boot="C", draining=True)
        ReconcileRun.objects.all().delete()
        ReconcileRun.objects.create(bridge=bridge, sign="several", note="x")
        return migrate(BEFORE).get_model("accounts", "ReconcileRun").objects

    def test_the_notes_are_there_again(self, runs: Any) -> None:
        found = {(boot, by) for boot in "ABC" for by in "ABC" if was_replaced_in_notes(runs, boot, by)}
        assert found == {("A", "B"), ("A", "C"), ("B", "C")}
        lately = runs.filter(at__gt=ago(5))
        assert lately.filter(note__startswith=LEAVING).count() == 1
        assert lately.filter(note__contains="Different processes answer.").count() == 1
        assert lately.count() == 4

    def test_once(self, bridge: Bridge, runs: Any) -> None:
        migrate()
        assert processes.was_replaced(bridge.pk, "A", by="C")
        assert not processes.was_replaced(bridge.pk, "C", by="A")
        again = migrate(BEFORE).get_model("accounts", "ReconcileRun").objects
        assert again.count() == 4

    def test_also_of_two_that_replaced_each_other(self, bridge: Bridge) -> None:
        at = [ago(minutes) for minutes in (300, 200, 100)]
        create = bridge.processes.create
        create(boot="A", first_replaced_at=at[0], replaced_at=at[2], took_over_at=at[1])
        create(boot="B", first_replaced_at=at[1], replaced_at=at[1], took_over_at=at[2])
        runs = migrate(BEFORE).get_model("accounts", "ReconcileRun").objects
        assert was_replaced_in_notes(runs, "A", "B")
        assert was_replaced_in_notes(runs, "B", "A")
        assert list(runs.order_by("pk").values_list("at", flat=True)) == at


@pytest.mark.usefixtures("newest_after_all")
def test_empty_tables_go_both_ways() -> None:
    migrate(BEFORE)
    migrate(AFTER)
    assert not BridgeProcess.objects.exists()
    assert not WebhookEvent.objects.exists()
