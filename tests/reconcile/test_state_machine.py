"""Anything may happen, in any order, and after each step the record is sound; in the end it says what is true.

A small model of phones and of one bridge (support/world.py) lives beside the desk: hypothesis pairs, scans, drops,
logs out, resets, renews, loses and reorders events, crashes the bridge, starts it again and lets time pass. At the end
it is counted what has happened: a machine in which nobody links proves nothing.
"""

import time
from collections.abc import Iterator
from datetime import timedelta

import hypothesis.strategies as st
import pytest
from django.db.models import Q
from django.test import TestCase
from django.utils import timezone
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from accounts.lifecycle import FIRST_QR_WITHIN, EndReason, Status
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.pairing import attempts
from accounts.reconcile import heartbeat, polling, session_list
from tests.support.clockwork import NOT_FOR_A_SCANNED, PHONES, TICK, Clockwork, happened
from tests.support.misbehaving import Act, drops_the_line, status
from tests.support.races import assert_every_history_is_a_legal_chain

STEPS, RUNS, SEEDS = 115, 4, 5  # of one seed, a later run is like those before
# Of all runs together; with fewer, the machine has come to a standstill somewhere.
AT_LEAST = {
    "steps": 2_000,
    "scans": 60,
    "connected": 60,
    "drops": 20,
    "restored or reconnected by an order": 10,
    "resets": 5,
    "renewals": 5,
    "crashes": 20,
    "events that overtook a list": 60,
}
TALKS_WITHIN = FIRST_QR_WITHIN + 2 * TICK  # seconds after its start went out


class Linking(Clockwork):
    """What may happen in any order, and what holds after each step of it."""

    # --- people and staff -------------------------------------------------------------------------
    @rule(which=st.integers(0, 2), force=st.booleans(), staff=st.booleans())
    def pair(self, which: int, force: bool, staff: bool) -> None:
        self._pair(which, force=force, staff=staff)

    @precondition(lambda self: self.world.is_up)
    @rule(own=st.sampled_from([True, True, True, False]))
    def link(self, own: bool) -> None:
        """Everybody who is not linked, with the phone of the account or another's."""
        for which in self._unlinked():
            self._link(which, PHONES[which if own else (which + 1) % 3])

    @rule(which=st.integers(0, 2), sure=st.sampled_from([True, False, False]))
    def reset(self, which: int, sure: bool) -> None:
        if sure:  # else nobody would stay linked for long
            attempts.force_reset(self._account(which).pk)
            happened["resets"] += 1

    @precondition(lambda self: self._scannable())
    @rule(pick=st.integers(0, 99), phone=st.sampled_from(PHONES))
    def scan(self, pick: int, phone: str) -> None:
        """Only what the page has shown, within the minute that a code is good for."""
        codes = self._scannable()
        self._scan(codes[pick % len(codes)], phone)

    @precondition(lambda self: self.world.in_state("authenticated"))
    @rule(pick=st.integers(0, 99))
    def finish(self, pick: int) -> None:
        self.world.finish(self._one_of(pick, "authenticated"))

    @precondition(lambda self: self.world.in_state("connected"))
    @rule(pick=st.integers(0, 99), everybody=st.sampled_from([True, True, False]))
    def drop(self, pick: int, everybody: bool) -> None:
        dropped = self.world.in_state("connected") if everybody else [self._one_of(pick, "connected")]
        for session_id in dropped:
            self.world.drop(session_id)
        happened["drops"] += len(dropped)

    @precondition(lambda self: self.world.in_state("disconnected"))
    @rule(pick=st.integers(0, 99))
    def come_back(self, pick: int) -> None:
        self.world.start(self._one_of(pick, "disconnected"))

    @precondition(lambda self: self.world.in_state("connected"))
    @rule(pick=st.integers(0, 99), sure=st.sampled_from([True, False]))
    def unlink(self, pick: int, sure: bool) -> None:
        if sure:
            self.world.unlink(self._one_of(pick, "connected"))
            happened["unlinked on the phone"] += 1

    @precondition(lambda self: self.world.in_state("connected", "disconnected"))
    @rule(pick=st.integers(0, 99))
    def vanish(self, pick: int) -> None:
        session_id = self._one_of(pick, "connected", "disconnected")
        self.world.vanish(session_id)
        self._forget_what_nobody_knows({session_id})
        happened["vanished"] += 1

    # --- the line between ---------------------------------------------------------------------------
    @precondition(lambda self: self.world.wire and self.world.is_up)
    @rule(pick=st.integers(0, 99))
    def deliver(self, pick: int) -> None:
        self._post(self.world.take(lambda waiting: min(pick % 4, waiting - 1)))  # overtaken by up to three

    @precondition(lambda self: self.world.wire and self.world.is_up)
    @rule()
    def deliver_twice(self) -> None:
        event = self.world.take(lambda waiting: 0)
        self._post(event)
        self._post(event)

    @precondition(lambda self: self.world.wire and not self.numbered)
    @rule(pick=st.integers(0, 99))
    def lose(self, pick: int) -> None:
        """A Node bridge loses what gets no 2xx; ours keeps it on disk."""
        self.lost.append(self.world.take(lambda waiting: pick % waiting))
        happened["events lost"] += 1

    @precondition(lambda self: self.world.is_up)
    @rule(back=st.booleans(), late=st.sampled_from([1, 5, 16]))
    def overtake_a_list(self, back: bool, late: int) -> None:
        """While the bridge's list is on its way links come `back`, or drop, and orders go out: all that is newer."""
        said = polling._ask(self.bridge)
        asked_about = list(LinkSession.objects.filter(ended_at=None, account__status=Status.DISCONNECTED))
        for session_id in self.world.in_state("disconnected" if back else "connected")[:2]:
            (self.world.start if back else self.world.drop)(session_id)
        self._pass(late)
        happened["events that overtook a list"] += len(self.world.wire)
        self._arrive()
        with TestCase.captureOnCommitCallbacks(execute=True):
            for session in asked_about:
                question = BridgeOrder(
                    session=session, bridge=self.bridge, kind=BridgeOrder.Kind.CHECK, why=BridgeOrder.Why.RECOVERY
                )
                session_list.weigh(question, said.listed, asked_at=said.asked_at)
            heartbeat.hear(self.bridge.pk, said, heartbeat=False)
        self._work()

    # --- the bridge's process -----------------------------------------------------------------------
    @precondition(lambda self: self.world.is_up)
    @rule(down=st.sampled_from([status(503), drops_the_line]))
    def crash(self, down: Act) -> None:
        untold = {event.session_id for event in [*self.world.wire, *self.lost]}
        self.world.crash(down)
        self._forget_what_nobody_knows(untold)
        happened["crashes"] += 1

    @precondition(lambda self: not self.world.is_up)
    @rule(forgets=st.sampled_from([0, 1, None]))
    def restart(self, forgets: int | None) -> None:
        """`forgets`: a login that it could not open this time."""
        self.world.come_up()
        restored = self._restored()
        self.world.restore([session_id for place, session_id in enumerate(restored) if place != forgets])

    # --- time ---------------------------------------------------------------------------------------
    @rule()
    def work(self) -> None:
        self._work()

    @rule(seconds=st.sampled_from([1, 5, 16, 61, 125]))
    def wait(self, seconds: int) -> None:
        self._pass(seconds)

    # --- what holds after each step -----------------------------------------------------------------
    @invariant()
    def a_step_is_counted(self) -> None:
        happened["steps"] += 1

    @invariant()
    def an_account_has_one_open_session_at_the_most(self) -> None:
        accounts = list(LinkSession.objects.filter(ended_at=None).values_list("account_id", flat=True))
        assert len(accounts) == len(set(accounts))

    @invariant()
    def each_history_is_a_chain_of_legal_moves(self) -> None:
        """Read anew each time: the rows of a link that flaps become one."""
        assert_every_history_is_a_legal_chain()

    @invariant()
    def what_is_connected_has_a_phone_and_nobody_else_has_it(self) -> None:
        live = list(Account.objects.live().values_list("status", "phone_number"))
        assert (Status.CONNECTED, None) not in live
        phones = [phone for _, phone in live if phone is not None]
        assert len(phones) == len(set(phones))

    @invariant()
    def no_session_has_two_clients(self) -> None:
        assert not self.world.doubled

    @invariant()
    def every_open_session_talks_or_is_ordered_or_waits_in_line(self) -> None:
        lately = timezone.now() - timedelta(seconds=TALKS_WITHIN)
        for session in LinkSession.objects.filter(ended_at=None, admitted_at__isnull=False, last_seen_at=None):
            told = Q(state__in=BridgeOrder.UNDER_WAY) | Q(closed_at__gt=lately)
            assert session.orders.filter(told, kind=BridgeOrder.Kind.START).exists(), session.admitted_at

    @invariant()
    def nobody_who_scanned_is_thrown_out(self) -> None:
        ended = LinkSession.objects.filter(ended_at__isnull=False, authenticated_at__isnull=False)
        reasons = dict(ended.values_list("session_id", "end_reason"))
        assert NOT_FOR_A_SCANNED.isdisjoint(reasons.values())
        renewed = {session_id for session_id, reason in reasons.items() if reason == EndReason.RENEWED}
        assert renewed <= self.interrupted, "only staff interrupt one who has scanned"

    @invariant()
    def a_scan_that_arrives_counts_unless_a_later_one_or_a_reset_does(self) -> None:
        ended = LinkSession.objects.filter(end_reason__in=NOT_FOR_A_SCANNED, session_id__in=self.told_scanned)
        for session in ended:
            assert self._has_had_its_day(session), session.end_reason

    @invariant()
    def only_who_is_slow_is_never_ready(self) -> None:
        ended = LinkSession.objects.filter(end_reason=EndReason.NEVER_READY, session_id__in=self.told_ready)
        for session in ended:
            assert self._has_had_its_day(session), session.authenticated_at


@pytest.fixture
def _time_was(db: None) -> Iterator[None]:
    began = time.time()
    yield
    assert abs(time.time() - began) < 1_200  # the clock is the real one again


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_time_was")
def test_whatever_happens_the_record_is_sound_and_ends_in_the_truth() -> None:
    unhurried = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
        derandomize=True,
    )
    happened.clear()
    for number in range(SEEDS):
        run_state_machine_as_test(seed(number)(Linking), settings=unhurried)
    print(f"\n{dict(sorted(happened.items()))}")
    assert {what: happened[what] for what, least in AT_LEAST.items() if happened[what] < least} == {}
