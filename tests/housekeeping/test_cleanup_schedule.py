"""Tidying up by itself, every hour: what never led to a link, and what was lost for a week."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import Schedule

from accounts import tasks
from accounts.bridges import presence
from accounts.housekeeping import cleanup
from accounts.jobs.schedules import synchronise
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkInvitation, LinkSession, Workspace
from accounts.orders import outbox
from accounts.pairing import attempts
from tests.support.cleaning import DAY, HOUR, assert_survives, clean_stale, is_deleted, lapsed, lost
from tests.support.links import QR, READY, link, move_back, status_of
from tests.support.portal import Portal
from tests.support.races import PHONES


class TestSchedule:
    def test_it_runs_every_hour(self, db: None) -> None:
        synchronise()
        assert Schedule.objects.get(name="clean up what is long over").minutes == 60

    def end_long_ago(self, account: Account) -> None:
        """The attempt ended, and its stop was carried out, 25 hours ago."""
        tasks.expire_overdue()
        day = timezone.now() - timedelta(hours=25)
        LinkSession.objects.update(ended_at=day)
        BridgeOrder.objects.update(state=BridgeOrder.State.CONFIRMED, closed_at=day)

    def test_what_never_led_to_a_link_goes(self, portal: Portal, account: Account, session: LinkSession) -> None:
        lapsed(portal, session, ago=26 * HOUR)
        self.end_long_ago(account)
        tasks.clean_up()
        assert is_deleted(account)

    def test_whoever_is_invited_is_waited_for(self, portal: Portal, account: Account, session: LinkSession) -> None:
        LinkInvitation.issue(account)
        lapsed(portal, session, ago=26 * HOUR)
        self.end_long_ago(account)
        tasks.clean_up()
        assert not is_deleted(account)
        LinkInvitation.objects.update(expires_at=timezone.now())
        tasks.clean_up()
        assert is_deleted(account)

    def test_after_a_day_without_us_nobody_goes_who_was_linked(
        self, portal: Portal, workspace: Workspace, bridge: Bridge
    ) -> None:
        """Everything is a day old; and the scan of one code, reported to nobody, waits in the bridge's outbox."""
        accounts = {name: Account.objects.create(workspace=workspace, label=name) for name in PHONES[:3]}
        sessions = {name: attempts.start(account.pk, trigger="test") for name, account in accounts.items()}
        running, dropped, scanned = PHONES[:3]
        link(portal, sessions[running], phone_number=running)
        lost(portal, sessions[dropped], ago=0)
        portal.post("qr_code_generated", sessions[scanned], **QR)
        for session in sessions.values():
            move_back(session, 24 * HOUR)
        BridgeOrder.objects.update(created_at=timezone.now() - timedelta(days=1))
        Bridge.objects.update(last_heard_at=timezone.now(), heard_since=timezone.now())
        for _ in range(3):  # whichever of the jobs comes first
            tasks.clean_up()
            tasks.expire_overdue()
        assert not any(is_deleted(account) for account in accounts.values())
        assert status_of(accounts[running]) == Status.CONNECTED
        assert status_of(accounts[dropped]) == Status.DISCONNECTED
        portal.post("session_ready", sessions[scanned], **READY | {"phone_number": scanned})
        assert status_of(accounts[scanned]) == Status.CONNECTED

    def test_nothing_goes_while_we_only_observe(
        self, portal: Portal, account: Account, session: LinkSession, settings: Any
    ) -> None:
        """A restored backup calls it lost for long; the bridge may hold it."""
        settings.LINKDESK_RECONCILE = "observe"
        lost(portal, session, ago=8 * DAY)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(hours=2))
        assert_survives(account, tried=tasks.clean_up)
        assert tasks.clean_up() == "nothing: it only observes"
        assert_survives(account, tried=clean_stale)  # a bridge asks for it by its own timer
        settings.LINKDESK_RECONCILE = "act"
        assert tasks.clean_up() == cleanup.Cleaned(attempts=0, links=1, failed=0)

    @pytest.mark.django_db(transaction=True)  # so that what fails is rolled back
    def test_one_that_fails_holds_up_nobody_behind_it(
        self, workspace: Workspace, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = [Account.objects.create(workspace=workspace, label=name) for name in PHONES[:2]]
        sessions = [attempts.start(account.pk, trigger="test") for account in made]
        for session in sessions:
            move_back(session, 26 * HOUR)
        order = outbox.order

        def breaks_for_the_first(session: LinkSession, *args: Any, **kwargs: Any) -> Any:
            if session.account_id == made[0].pk:
                raise RuntimeError("as a row that nobody thought of")
            return order(session, *args, **kwargs)

        monkeypatch.setattr(outbox, "order", breaks_for_the_first)
        assert tasks.expire_overdue() == {"overdue": 2, "failed": 1}
        assert [status_of(account) for account in made] == [Status.QR_SCANNING, Status.FAILED]
        stale = cleanup.clean_stale(
            Account.objects.all(), attempts_after=timedelta(hours=1), links_after=timedelta(days=1)
        )
        assert stale == cleanup.Cleaned(attempts=1, links=0, failed=1)
        assert [is_deleted(account) for account in made] == [False, True]

    def test_a_link_lost_for_a_week_becomes_inactive(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        lost(portal, session, ago=6 * DAY)
        Bridge.objects.update(heard_since=timezone.now() - timedelta(hours=2))
        assert_survives(account, tried=tasks.clean_up)
        Account.objects.update(status_changed_at=timezone.now() - timedelta(days=8))
        tasks.clean_up()
        assert status_of(account) == Status.INACTIVE
        assert not is_deleted(account)

    def test_but_not_just_after_its_bridge_came_back(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        lost(portal, session, ago=8 * DAY)
        bridge, now = Bridge.objects.get(), timezone.now()
        for heard, heard_since in ((None, None), (now - timedelta(days=1), now - timedelta(days=9))):
            Bridge.objects.update(last_heard_at=heard, heard_since=heard_since)
            presence._heard.clear()
            presence.hear(bridge.pk)
            assert_survives(account, tried=tasks.clean_up)

    def test_a_bridge_that_is_heard_all_the_time_is_heard_since_the_first_time(self, bridge: Bridge) -> None:
        Bridge.objects.update(last_heard_at=None)
        presence.hear(bridge.pk)
        bridge.refresh_from_db()
        since = bridge.heard_since
        assert since is not None
        Bridge.objects.update(last_heard_at=timezone.now() - timedelta(seconds=presence.UP_WITHIN - 5))
        presence._heard.clear()
        presence.hear(bridge.pk)
        bridge.refresh_from_db()
        assert bridge.heard_since == since
        Bridge.objects.update(last_heard_at=timezone.now() - timedelta(seconds=presence.UP_WITHIN + 5))
        presence._heard.clear()
        presence.hear(bridge.pk)
        bridge.refresh_from_db()
        assert bridge.heard_since is not None
        assert bridge.heard_since > since
