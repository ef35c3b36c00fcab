"""What is known of a bridge's processes outlives the log of reconciles, the inbox, and every text."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone, translation

from accounts.bridges.incidents import Kind
from accounts.housekeeping import retention
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeProcess, LinkSession, ReconcileRun
from accounts.reconcile import heartbeat, polling, processes
from tests.reconcile.test_earlier_run import restore, say
from tests.support.links import READY, status_of
from tests.support.lists import advice, beat, bridge, crowd, linked, missing_twice, open_kinds, row, shows
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal, make_bridge
from tests.support.races import at_once, until_taken
from webhooks.authentication import forget_secrets
from webhooks.models import WebhookEvent

__all__ = ["bridge", "linked"]

pytestmark = pytest.mark.django_db(transaction=True)


def forget_the_logs() -> None:
    ReconcileRun.objects.all().delete()
    WebhookEvent.objects.exclude(finished_at=None).delete()


class TestWithoutLogsAndInOtherWords:
    @pytest.fixture(autouse=True)
    def other_words(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(processes, "SAYS", dict.fromkeys(ReconcileRun.Sign, "x"))
        monkeypatch.setattr(processes, "NO_PROOF", "y")
        monkeypatch.setattr(heartbeat, "LEAVING", "z")
        with translation.override("id"):
            yield

    def test_a_replaced_process_is_still_late(self, portal: Portal, account: Account, linked: LinkSession) -> None:
        for boot in ("A", "B", "C"):
            beat(linked.session_id, boot=boot)
            forget_the_logs()
        restore(portal, "C", linked)
        forget_the_logs()
        assert say(portal, "B", 1, "session_ready", linked, **READY) == "stale"
        assert say(portal, "B", 2, "session_disconnected", linked, reason="NAVIGATION") == "stale"
        assert status_of(account) == Status.CONNECTED

    def test_so_is_one_that_only_its_events_told_of(
        self, portal: Portal, account: Account, linked: LinkSession
    ) -> None:
        restore(portal, "A", linked)
        forget_the_logs()
        restore(portal, "B", linked)
        forget_the_logs()
        assert say(portal, "A", 6, "session_disconnected", linked, reason="NAVIGATION") == "stale"
        assert status_of(account) == Status.CONNECTED

    def test_two_processes_in_turn_are_an_incident(self, bridge: Bridge) -> None:
        for boot in ("b1", "b2"):
            beat(boot=boot)
        forget_the_logs()
        for boot in ("b1", "b2", "b1"):
            beat(boot=boot)
        assert open_kinds(bridge) == {Kind.ALTERNATING}

    def test_sessions_that_come_and_go_are_none(
        self, linked: LinkSession, bridge: Bridge, node: MisbehavingBridge
    ) -> None:
        ids = crowd(linked, 3)
        for shown in (linked.session_id, *ids), ids, (linked.session_id, *ids), ids, (linked.session_id, *ids):
            LinkSession.objects.exclude(last_seen_at=None).update(last_seen_at=timezone.now() - timedelta(minutes=2))
            shows(node, *[row(name) for name in shown])
            polling.poll(bridge.pk)
        assert open_kinds(bridge) == set()

    def test_a_bridge_that_is_leaving_is_only_heard(self, linked: LinkSession) -> None:
        beat(draining=True)
        forget_the_logs()
        missing_twice()
        assert advice(draining=True) == ([], [])
        assert len(advice()[1]) == 1

    def test_but_not_for_ever(self, linked: LinkSession) -> None:
        beat(draining=True)
        Bridge.objects.update(says_draining_since=timezone.now() - heartbeat.LEAVES_WITHIN)
        missing_twice()
        assert len(advice(draining=True)[1]) == 1


class TestOrder:
    def test_one_that_is_back_after_an_hour_counts_as_new(self, bridge: Bridge) -> None:
        for boot in ("A", "B"):
            beat(boot=boot)
        first = BridgeProcess.objects.get(boot="A").first_replaced_at
        long_ago = timezone.now() - processes.KNOWN_FOR
        BridgeProcess.objects.update(took_over_at=long_ago, replaced_at=long_ago)
        for boot in ("A", "B"):
            beat(boot=boot)
        known = BridgeProcess.objects.get(boot="A")
        assert known.first_replaced_at == first
        assert known.took_over_at is not None
        assert open_kinds(bridge) == set()
        assert ReconcileRun.objects.filter(sign=ReconcileRun.Sign.SEVERAL).count() == 1

    def test_the_clock_may_be_set_back_between_two_starts(self, bridge: Bridge) -> None:
        for boot in ("A", "B"):
            beat(boot=boot)
        ahead = timezone.now() + timedelta(minutes=30)
        BridgeProcess.objects.filter(boot="A").update(first_replaced_at=ahead, replaced_at=ahead)
        BridgeProcess.objects.filter(boot="B").update(took_over_at=ahead)
        beat(boot="C")
        assert processes.was_replaced(bridge.pk, "A", by="C")
        assert not processes.was_replaced(bridge.pk, "C", by="A")

    def test_who_spoke_first_is_known_for_each_session(self, portal: Portal, linked: LinkSession) -> None:
        """Sessions are sent side by side: what B had to say of one comes after what A, which came later, said."""
        (other,) = crowd(linked, 1)
        late = LinkSession.objects.get(session_id=other)
        restore(portal, "A", linked)
        say(portal, "B", 4, "session_authenticated", late)
        assert say(portal, "A", 6, "session_disconnected", late, reason="NAVIGATION") == "applied"

    def test_processes_of_two_bridges_are_two(self, bridge: Bridge) -> None:
        beta = make_bridge("beta")
        forget_secrets()
        for boot in ("A", "B"):
            beat(boot=boot)
            beat(boot=boot, secret="beta")
        assert BridgeProcess.objects.count() == 4
        beat(boot="C", secret="beta")
        assert processes.was_replaced(beta.pk, "A", by="C")
        assert not processes.was_replaced(bridge.pk, "A", by="C")


@pytest.mark.race
class TestAtOnce:
    def test_two_processes_and_a_poll(self, bridge: Bridge, node: MisbehavingBridge) -> None:
        beat(boot="A")
        shows(node, boot="B")
        calls = [partial(until_taken, partial(beat, boot=boot)) for boot in ("B", "C", "B", "C")]
        answers = at_once([*calls, partial(polling.poll, bridge.pk)])
        assert [answer.status_code for answer in answers[:-1]] == [200] * 4
        assert answers[-1] is None
        assert sorted(BridgeProcess.objects.values_list("boot", flat=True)) == ["A", "B", "C"]
        assert BridgeProcess.objects.get(boot="A").replaced_at is not None
        assert Bridge.objects.get().boot in {"B", "C"}

    def test_twins_that_tell_of_one_session(self, linked: LinkSession) -> None:
        tell = partial(processes.tells_of, linked.pk, bridge_id=linked.bridge_id, boot="A")
        assert at_once([tell] * 6) == [None] * 6
        assert BridgeProcess.objects.get().told_of.get() == linked

    def test_a_new_process_that_tells_of_all_its_sessions(self, portal: Portal, linked: LinkSession) -> None:
        ids = [linked.session_id, *crowd(linked, 11)]
        beat(*ids, boot="A")
        bodies = [{"event": "session_authenticated", "data": {"session_id": name}} for name in ids]
        numbers = {"X-Bridge-Boot": "B", "X-Bridge-Sequence": "1"}
        events = [
            partial(until_taken, partial(portal.send, body, **numbers | {"X-Event-Id": name}))
            for name, body in zip(ids, bodies, strict=True)
        ]
        answers = at_once([*events, *[partial(until_taken, partial(beat, *ids, boot="B"))] * 2])
        assert {answer.status_code for answer in answers} == {200}
        assert BridgeProcess.objects.get(boot="B").told_of.count() == len(ids)
        assert set(LinkSession.objects.values_list("applied_boot", flat=True)) == {"B"}
        assert processes.was_replaced(linked.bridge_id, "A", by="B")


class TestRetention:
    def test_those_that_are_long_gone_but_not_the_newest(self, bridge: Bridge, linked: LinkSession) -> None:
        old, young = (timezone.now() - timedelta(days=retention.PROCESS_DAYS + days) for days in (1, -1))
        for boot, seen, replaced in (("gone", old, old), ("lately", old, young), ("alive", young, old)):
            bridge.processes.create(boot=boot, last_seen_at=seen, replaced_at=replaced).told_of.add(linked)
        bridge.processes.create(boot="only told of", last_seen_at=old)
        bridge.processes.create(boot="newest", last_seen_at=old, replaced_at=old)
        assert retention.run()["processes"] == 2
        assert set(bridge.processes.values_list("boot", flat=True)) == {"lately", "alive", "newest"}
        assert LinkSession.objects.filter(pk=linked.pk).exists()
        assert BridgeProcess.told_of.through.objects.count() == 2
