"""When an attempt lapses, who notices, and what is shown before the worker does."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import snapshots
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, LinkSession, Workspace
from accounts.pairing import attempts
from accounts.tasks import expire_overdue
from tests.support.links import QR, move_back, status_of, stops_of
from tests.support.portal import Portal
from tests.support.queue import run_due_tasks
from tests.support.races import PHONES
from tests.support.states import ROADS, Reach, reach

__all__ = ["reach"]

DEADLINES = [
    ("", 60, Status.FAILED, EndReason.BRIDGE_UNAVAILABLE),
    (Status.QR_SCANNING, 120, Status.QR_EXPIRED, EndReason.QR_EXPIRED),
    (Status.ACTION_REQUIRED, 300, Status.FAILED, EndReason.ACTION_NOT_TAKEN),
    (Status.AUTHENTICATED, 90, Status.FAILED, EndReason.NEVER_READY),
]


class TestDeadlines:
    @pytest.mark.parametrize(("status", "seconds", "after", "why"), DEADLINES)
    def test_an_attempt_lapses(
        self,
        portal: Portal,
        account: Account,
        session: LinkSession,
        status: Status,
        seconds: int,
        after: Status,
        why: EndReason,
    ) -> None:
        if status:
            ROADS[status](portal, session)
        move_back(session, seconds - 5)
        assert not attempts.expire(session.pk)
        move_back(session, seconds + 1)
        assert attempts.expire(session.pk)
        assert not attempts.expire(session.pk)
        session.refresh_from_db()
        assert status_of(account) == after
        assert session.end_reason == why
        assert stops_of(session).count() == 1

    @pytest.mark.parametrize(("status", "seconds", "after", "why"), DEADLINES)
    def test_a_snapshot_tells_it_before_the_worker_does_and_writes_nothing(
        self,
        portal: Portal,
        account: Account,
        session: LinkSession,
        status: Status,
        seconds: int,
        after: Status,
        why: EndReason,
    ) -> None:
        if status:
            ROADS[status](portal, session)
        move_back(session, seconds + 1)
        before = Account.objects.values().get(), LinkSession.objects.values().get()
        shown = snapshots.take(account.pk)
        assert (shown["status"], shown["reason"], shown["expires_in"]) == (after, why, None)
        assert shown["qr_svg"] == ""
        assert (Account.objects.values().get(), LinkSession.objects.values().get()) == before

    @pytest.mark.parametrize("status", [Status.CONNECTED, Status.DISCONNECTED])
    def test_a_link_has_none(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        assert account.current_session is not None
        move_back(account.current_session, 100_000)
        assert not attempts.expire(account.current_session.pk)
        assert snapshots.take(account.pk)["expires_in"] is None

    def test_the_worker_is_told_when_to_look(self, portal: Portal, account: Account, session: LinkSession) -> None:
        portal.post("qr_code_generated", session, **QR)
        Bridge.objects.update(url="http://127.0.0.1:1")
        move_back(session, 121)
        run_due_tasks(within=122)
        assert status_of(account) == Status.QR_EXPIRED

    def test_the_sweep_finds_what_the_queue_lost(self, portal: Portal, account: Account, session: LinkSession) -> None:
        move_back(session, 61)
        expire_overdue()
        assert status_of(account) == Status.FAILED

    def test_the_sweep_asks_once_however_many_are_not_overdue(self, workspace: Workspace, bridge: Bridge) -> None:
        def queries() -> int:
            with CaptureQueriesContext(connection) as captured:
                assert expire_overdue() == {"overdue": 0, "failed": 0}
            return len(captured)

        for phone in PHONES[:3]:
            attempts.start(Account.objects.create(workspace=workspace, label=phone).pk, trigger="test")
            assert queries() == 1

    def test_a_fresh_code_does_not_prolong_it(self, portal: Portal, account: Account, session: LinkSession) -> None:
        """A bridge shows codes for ever: the 120 s run from the first one."""
        portal.post("qr_code_generated", session, **QR)
        move_back(session, 100)
        portal.post("qr_code_generated", session, **QR)
        left = snapshots.take(account.pk)["expires_in"]
        assert left is not None
        assert 15 < left <= 20
