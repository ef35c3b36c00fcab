"""The desk beside the world (world.py), under one clock: people link, events arrive, time passes, all settles."""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import time_machine
from django.test import Client, TestCase
from django.utils import timezone
from django_q.models import OrmQ
from hypothesis.stateful import RuleBasedStateMachine, initialize

from accounts.bridges import presence
from accounts.housekeeping import cleanup
from accounts.jobs import running
from accounts.jobs.schedules import JOBS
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Transition, Workspace
from accounts.pairing import attempts
from accounts.pairing.attempts import May
from api.http import rate_limit
from tests.support.misbehaving import misbehaving_bridge
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.world import Event, World
from webhooks import rate_limits
from webhooks.authentication import forget_secrets
from webhooks.models import UnmatchedTraffic, WebhookEvent

BEGAN = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
PHONES = ("6281111111111", "6282222222222", "6283333333333")
TICK = 30  # seconds; bridges are polled twice a minute
# Who scanned is never thrown out for one of these.
NOT_FOR_A_SCANNED = {EndReason.QR_EXPIRED, EndReason.BRIDGE_UNAVAILABLE, EndReason.CLEANED_UP}
LINKED = {Status.AUTHENTICATED, Status.CONNECTED, Status.DISCONNECTED}
MINUTELY = [job for job in JOBS if job.minutes == 1]

happened: Counter[str] = Counter()


class Clockwork(RuleBasedStateMachine):
    """One desk, one bridge, three accounts, three phones."""

    @initialize(numbered=st.booleans(), places=st.sampled_from([1, 5]))
    def begin(self, numbered: bool, places: int) -> None:
        """`numbered`: the bridge gives its events an id and a number, as ours does and a Node bridge does not."""
        self.numbered = numbered
        forget_secrets()  # those of the last run's bridge
        self.clock = time_machine.travel(BEGAN, tick=False)
        self.time = self.clock.start()
        self.serving = misbehaving_bridge()
        self.world = World(self.serving.__enter__(), numbered=numbered)
        self.workspace = Workspace.objects.create(name="Toko")
        self.bridge = make_bridge("alpha", url=self.world.node.url, pairings_at_once=places)
        self.portal = Portal("alpha-hmac")
        labels = ("Alice", "Bob", "Charlie")
        self.accounts = [Account.objects.create(workspace=self.workspace, label=label) for label in labels]
        self.scanned: set[str] = set()
        self.told_scanned: set[str] = set()  # sessions whose scan, or more, has reached the desk
        self.told_ready: set[str] = set()
        self.interrupted: set[str] = set()  # by staff, who may
        self.lost: list[Event] = []
        self._hear()
        for which, phone in enumerate(PHONES):
            self._link(which, phone)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self._settle_everything()
            self._the_record_says_what_is_true()
            self._count()
        finally:
            self.serving.__exit__(None, None, None)
            self.clock.stop()
            _forget_everything()

    def _pair(self, which: int, *, force: bool, staff: bool) -> None:
        before = self._account(which).current_session
        may = May.NOTHING if not force else May.INTERRUPT if staff else May.RENEW
        with suppress(attempts.PairingRefused):
            attempts.start(self.accounts[which].pk, trigger="test", may=may)
            if force and staff and before is not None:
                self.interrupted.add(before.session_id)

    def _link(self, which: int, phone: str) -> None:
        """One who does at once all that is asked of him, and whose bridge is quick."""
        self._pair(which, force=False, staff=False)
        self._arrive()
        session = self._account(which).current_session
        if session is None or session.session_id not in self._scannable():
            return
        self._scan(session.session_id, phone)
        self._arrive()
        if session.session_id in self.world.in_state("authenticated"):
            self.world.finish(session.session_id)
            self._arrive()

    def _unlinked(self) -> list[int]:
        return [which for which in range(len(PHONES)) if self._account(which).status not in LINKED]

    def _account(self, which: int) -> Account:
        return Account.objects.get(pk=self.accounts[which].pk).resolve()

    def _scan(self, session_id: str, phone: str) -> None:
        self.world.scan(session_id, phone)
        self.scanned.add(session_id)
        happened["scans"] += 1

    def _scannable(self) -> list[str]:
        waiting = self.world.in_state("qr_scanning")
        if not waiting:
            return []
        shown = LinkSession.objects.filter(session_id__in=waiting, qr_count__gt=0)
        fresh = shown.filter(last_seen_at__gt=timezone.now() - timedelta(seconds=60), authenticated_at=None)
        return [session.session_id for session in fresh.order_by("pk") if session.is_open or session.ended_softly]

    def _forget_what_nobody_knows(self, sessions: set[str]) -> None:
        """A Node bridge that loses a client, and the events of its scan, has the login and does not know it."""
        told = LinkSession.objects.exclude(authenticated_at=None).values_list("session_id", flat=True)
        if not self.numbered:
            self.scanned -= sessions - set(told)

    @staticmethod
    def _has_had_its_day(session: LinkSession) -> bool:
        """Rule "Soft ends": what came after it was scanned as well, or all was reset since."""
        account = session.account.resolve()
        later = account.sessions.filter(authenticated_at__isnull=False).exclude(pk=session.pk)
        return later.exists() or (account.reset_at is not None and account.reset_at >= session.started_at)

    def _one_of(self, pick: int, *states: str) -> str:
        sessions = self.world.in_state(*states)
        return sessions[pick % len(sessions)]

    def _post(self, event: Event) -> None:
        numbers: dict[str, Any] = {
            "HTTP_X_EVENT_ID": f"event-{event.number}",
            "HTTP_X_BRIDGE_BOOT": event.boot,
            "HTTP_X_BRIDGE_SEQUENCE": str(event.number),
        }
        body = {"event": event.name, "data": {"workspace_id": 1, "session_id": event.session_id, **event.data}}
        with TestCase.captureOnCommitCallbacks(execute=True):
            answer = self.portal.send(body, **(numbers if self.numbered else {}))
        assert answer.status_code == 200, answer.content
        if event.name in {"session_authenticated", "session_ready"}:
            self.told_scanned.add(event.session_id)
        if event.name == "session_ready":
            self.told_ready.add(event.session_id)

    def _arrive(self) -> None:
        """All that is ordered is done, and all that is said arrives."""
        self._work()
        while self.world.wire and self.world.is_up:
            self._post(self.world.take(lambda waiting: 0))
            self._work()

    def _restored(self) -> list[str]:
        """What a bridge opens after its start: ours what it was told to run, a Node bridge what the desk lists."""
        if self.numbered:
            return [session_id for session_id in self.world.wanted if session_id in self.world.logins]
        answer = Client().get("/api/whatsapp/accounts/active", headers={"X-API-Key": "alpha-key"})
        return [row["session_id"] for row in answer.json()["sessions"]]

    def _work(self) -> None:
        with TestCase.captureOnCommitCallbacks(execute=True):
            run_due_tasks()

    def _pass(self, seconds: int, *, tick: int = TICK) -> None:
        """In ticks, as tasks come due; the jobs of the minute at the end of one."""
        for left in range(seconds, 0, -tick):
            self.time.shift(min(tick, left))
            self._hear()
            self._work()
        if seconds >= 60:
            for session_id in self.world.in_state("qr_scanning"):
                self.world.show_code(session_id)
            for job in MINUTELY:
                running.run(job.name)
            cleanup.clean_on_schedule()
            self._work()

    def _hear(self) -> None:
        """Its clock is the real one; what it remembers must not outlive our minutes."""
        presence._heard.clear()
        rate_limit.forget()
        rate_limits.forget()
        if self.world.is_up:
            presence.hear(self.bridge.pk)

    def _settle_everything(self) -> None:
        """Everything arrives, everything is tried again, until nothing moves any more."""
        if not self.world.is_up:
            self.world.come_up()
            self.world.restore(self._restored())
        for session_id in self.world.in_state("authenticated"):
            self.world.finish(session_id)
        for seconds in (*[61] * 4, *[301] * 3, *[61] * 3):  # recovery rests for ten minutes at last
            self._arrive()
            self._pass(seconds, tick=seconds)

    def _the_record_says_what_is_true(self) -> None:
        believed = {
            session.session_id: session.account.status
            for session in LinkSession.objects.filter(ended_at=None).select_related("account")
        }
        linked = {key for key, client in self.world.running.items() if client.state == "connected"}
        assert {key for key, status in believed.items() if status == Status.CONNECTED} == linked
        assert not set(self.world.running) - set(believed), "it runs what has ended here"
        assert not WebhookEvent.objects.filter(state__in=["dead", "failed", "received"]).exists()
        assert not BridgeOrder.objects.filter(state__in=["claimed", "unclear"]).exists()
        for session in LinkSession.objects.filter(session_id__in=self.scanned & set(self.world.logins)):
            assert session.is_open or session.end_reason not in NOT_FOR_A_SCANNED, session

    def _count(self) -> None:
        happened["runs"] += 1
        happened["connected"] += Transition.objects.filter(new=Status.CONNECTED).exclude(old=Status.CONNECTED).count()
        happened["renewals"] += LinkSession.objects.filter(end_reason=EndReason.RENEWED).count()
        for done in ("restored", "reconnected"):
            happened["restored or reconnected by an order"] += self.world.done[done]
        for reason in LinkSession.objects.exclude(end_reason="").values_list("end_reason", flat=True):
            happened[f"ended: {reason}"] += 1


def _forget_everything() -> None:
    UnmatchedTraffic.objects.all().delete()
    OrmQ.objects.all().delete()
    WebhookEvent.objects.all().delete()
    BridgeOrder.objects.all().delete()
    Account.objects.update(current_session=None)
    Transition.objects.all().delete()
    LinkSession.objects.all().delete()
    Account.objects.all().delete()
    Bridge.objects.all().delete()
    Workspace.objects.all().delete()
