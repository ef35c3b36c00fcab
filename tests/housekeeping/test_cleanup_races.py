"""A cleanup beside a ready, a new attempt or another cleanup: nobody who has linked is lost."""

from functools import partial

import pytest

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Workspace
from accounts.pairing import attempts
from tests.support.cleaning import DAY, HOUR, clean, lapsed
from tests.support.links import READY, link, move_back
from tests.support.portal import Portal
from tests.support.races import PHONES, assert_every_history_is_a_legal_chain, assert_nothing_failed, at_once, tell


@pytest.mark.race
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
class TestRaces:
    ROUNDS = 6

    def test_a_ready_at_the_same_moment(self, workspace: Workspace, bridge: Bridge, portal: Portal) -> None:
        """Ready first: connected, whatever else is asked. Cleanup first: deleted, and the late session is stopped."""
        for number in range(self.ROUNDS):
            account = Account.objects.create(workspace=workspace, label=f"{number}")
            session = attempts.start(account.pk, trigger="test")
            lapsed(portal, session, ago=HOUR)
            said = READY | {"phone_number": f"62811000{number:04}"}
            ready = partial(tell, Portal("alpha-hmac"), "session_ready", session, **said)
            results = at_once([partial(clean, account), ready, partial(clean, account)])
            assert not [result for result in results if isinstance(result, Exception)]
            account.refresh_from_db()
            session.refresh_from_db()
            if session.is_open:
                assert (account.status, account.deleted_at) == (Status.CONNECTED, None)
                assert results[0] + results[2] == 0
            else:
                assert account.status == Status.INACTIVE
                assert account.deleted_at is not None
                assert results[0] + results[2] == 1
                assert session.orders.filter(kind=BridgeOrder.Kind.STOP).exists()
        assert_nothing_failed()
        assert_every_history_is_a_legal_chain()

    def test_a_ready_for_a_linked_account_always_wins_or_reopens(
        self, workspace: Workspace, bridge: Bridge, portal: Portal
    ) -> None:
        for phone in PHONES:
            account = Account.objects.create(workspace=workspace)
            first = attempts.start(account.pk, trigger="test")
            link(portal, first, phone_number=phone)
            portal.post("session_disconnected", first, reason="LOGOUT")
            move_back(first, DAY)
            session = attempts.start(account.pk, trigger="test")
            lapsed(portal, session, ago=HOUR)
            ready = partial(tell, Portal("alpha-hmac"), "session_ready", session, **READY | {"phone_number": phone})
            at_once([partial(clean, account), ready])
            account.refresh_from_db()
            assert (account.status, account.deleted_at, account.current_session_id) == ("connected", None, session.pk)
        assert_nothing_failed()
        assert_every_history_is_a_legal_chain()

    def test_many_cleanups_at_once_count_each_account_once(
        self, workspace: Workspace, bridge: Bridge, portal: Portal
    ) -> None:
        for number in range(self.ROUNDS):
            account = Account.objects.create(workspace=workspace, label=f"{number}")
            lapsed(portal, attempts.start(account.pk, trigger="test"), ago=HOUR)
        results = at_once([partial(clean, account)] * 8)
        assert sum(results) == self.ROUNDS, results
        assert Account.objects.live().count() == 0
        assert_every_history_is_a_legal_chain()

    def test_a_new_attempt_at_the_same_moment(self, workspace: Workspace, bridge: Bridge, portal: Portal) -> None:
        for number in range(self.ROUNDS):
            account = Account.objects.create(workspace=workspace, label=f"{number}")
            lapsed(portal, attempts.start(account.pk, trigger="test"), ago=HOUR)
            cleaned, started = at_once([partial(clean, account), partial(attempts.start, account.pk, trigger="test")])
            assert not isinstance(cleaned, Exception), cleaned
            assert isinstance(started, LinkSession), started
            account.refresh_from_db()
            started.refresh_from_db()
            assert started.is_open
            assert account.status == Status.QR_SCANNING
        assert_every_history_is_a_legal_chain()
