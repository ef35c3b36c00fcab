"""Many at once. On MariaDB it is the real thing; SQLite lets one writer in after the other, and must lose nothing."""

import itertools
import threading
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from accounts.db import locks
from accounts.db.transactions import MYSQL_DEADLOCK, TRIES, atomically
from accounts.delivery import dispatcher
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Transition, Workspace
from accounts.models.session import new_session_id
from accounts.pairing import attempts
from accounts.pairing.attempts import PairingRefused
from tests.support.links import QR, READY, move_back
from tests.support.misbehaving import Conversation, Seen, misbehaving_bridge, well
from tests.support.portal import PHONE, Portal
from tests.support.races import PHONES, assert_every_history_is_a_legal_chain, assert_nothing_failed, at_once, tell

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

TOGETHER = 16


class TestConstraints:
    def test_one_phone_has_one_live_account(self, workspace: Workspace) -> None:
        made = at_once([lambda: Account.objects.create(workspace=workspace, phone_number=PHONE)] * TOGETHER)
        assert sum(isinstance(result, IntegrityError) for result in made) == TOGETHER - 1, made
        assert Account.objects.live().get().phone_number == PHONE

    def test_one_account_has_one_open_session(self, account: Account, bridge: Bridge) -> None:
        def begin() -> LinkSession:
            return LinkSession.objects.create(session_id=new_session_id(1), account=account, bridge=bridge)

        made = at_once([begin] * TOGETHER)
        assert sum(isinstance(result, IntegrityError) for result in made) == TOGETHER - 1, made
        assert LinkSession.objects.filter(ended_at=None).count() == 1


class TestPairing:
    def test_of_many_starts_one_begins_and_the_others_are_told_to_wait(self, account: Account) -> None:
        results = at_once([partial(attempts.start, account.pk, trigger="test")] * TOGETHER)
        refusals = [result for result in results if isinstance(result, PairingRefused)]
        assert len(refusals) == TOGETHER - 1, results
        assert {refusal.code for refusal in refusals} == {"PAIRING_IN_PROGRESS"}
        assert all(0 < (refusal.retry_after or 0) <= 60 for refusal in refusals)
        assert LinkSession.objects.count() == 1
        assert BridgeOrder.objects.count() == 1

    def test_the_limit_of_open_placeholders_holds(self, workspace: Workspace, bridge: Bridge, settings: Any) -> None:
        settings.LINKDESK_MAX_OPEN_PLACEHOLDERS = 3
        accounts = [Account.objects.create(workspace=workspace) for _ in range(TOGETHER)]
        at_once([partial(attempts.start, account.pk, trigger="test") for account in accounts])
        assert LinkSession.objects.count() == 3

    def test_a_scan_at_the_moment_of_the_deadline_links_either_way(
        self, workspace: Workspace, bridge: Bridge, portal: Portal
    ) -> None:
        for phone in PHONES:
            account = Account.objects.create(workspace=workspace, phone_number=phone)
            session = attempts.start(account.pk, trigger="test")
            tell(portal, "qr_code_generated", session, **QR)
            move_back(session, 121)
            scan = partial(tell, Portal("alpha-hmac"), "session_authenticated", session)
            at_once([partial(attempts.expire, session.pk), scan])
            account.refresh_from_db()
            assert account.status == Status.AUTHENTICATED
            assert account.current_session == session
        assert_nothing_failed()
        assert_every_history_is_a_legal_chain()

    def test_a_reset_and_a_ready_at_once_leave_one_truth(self, workspace: Workspace, bridge: Bridge) -> None:
        for phone in PHONES:
            account = Account.objects.create(workspace=workspace, phone_number=phone)
            session = attempts.start(account.pk, trigger="test")
            ready = partial(tell, Portal("alpha-hmac"), "session_ready", session, **READY | {"phone_number": phone})
            results = at_once([partial(attempts.force_reset, account.pk), ready])
            assert not [result for result in results if isinstance(result, Exception)]
            account.refresh_from_db()
            session.refresh_from_db()
            assert account.status == Status.INACTIVE  # ready first: reset afterwards; reset first: ready is too late
            assert not session.is_open
        assert_every_history_is_a_legal_chain()


class TestOrders:
    def test_two_deliveries_of_one_order_are_one_command(self, session: LinkSession, bridge: Bridge) -> None:
        order = session.orders.get()
        returned = threading.Semaphore(0)

        def deliver() -> None:
            dispatcher.deliver(order.pk)
            returned.release()

        def slowly(talk: Conversation, seen: Seen) -> None:
            returned.acquire(timeout=10)  # the other delivery came and went while this one was open
            well(talk, seen)

        with misbehaving_bridge() as node:
            Bridge.objects.update(url=node.url)
            node.plays(slowly)
            assert at_once([deliver, deliver]) == [None, None]
            assert node.commands == [("POST", "/api/sessions")]
        order.refresh_from_db()
        assert order.state == BridgeOrder.State.CONFIRMED


@pytest.mark.needs("MariaDB")  # SQLite lets one writer in at a time: nothing to retry
class TestRetries:
    """The domain's order of locks leaves no deadlock to provoke, so these break it on purpose."""

    @pytest.fixture(autouse=True)
    def _any_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locks, "STRICT", False)

    def test_a_deadlock_is_retried(self, workspace: Workspace) -> None:
        first, second = (Account.objects.create(workspace=workspace).pk for _ in range(2))
        both_hold_one = threading.Barrier(2)
        tries = itertools.count()

        @atomically
        def touch(*pks: int) -> None:
            Account.objects.lock(pks[0]).touch()
            if next(tries) < 2:
                both_hold_one.wait(10)
            Account.objects.lock(pks[1]).touch()

        assert at_once([partial(touch, first, second), partial(touch, second, first)]) == [None, None]
        assert next(tries) > 2, "there was no deadlock"
        assert set(Account.objects.values_list("version", flat=True)) == {3}

    def test_a_lock_that_comes_late_is_waited_for_again(self, workspace: Workspace) -> None:
        account = Account.objects.create(workspace=workspace)
        held, tries_again, tries = threading.Event(), threading.Event(), itertools.count()

        def hold() -> None:
            with transaction.atomic():
                Account.objects.lock(account.pk).touch()
                held.set()
                tries_again.wait(30)

        @atomically
        def touch() -> None:
            if next(tries):
                tries_again.set()
            Account.objects.lock(account.pk).touch()

        def wait() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
            held.wait(10)
            touch()

        assert at_once([hold, wait]) == [None, None]
        assert next(tries) > 1, "nothing was waited for twice"
        assert Account.objects.get().version == 3


def test_only_the_outermost_transaction_is_retried(account: Account) -> None:
    """A savepoint that is tried again keeps locks that the database has given to somebody else."""
    tries = itertools.count()

    @atomically
    def inner() -> None:
        next(tries)
        raise OperationalError(MYSQL_DEADLOCK, "Deadlock found")

    with pytest.raises(OperationalError), transaction.atomic():
        inner()
    assert next(tries) == 1
    with pytest.raises(OperationalError):
        inner()
    assert next(tries) == 2 + TRIES


def test_the_race_checks_can_fail(account: Account) -> None:
    """A broken chain is seen: otherwise none of the above proves anything."""
    Transition.objects.create(account=account, old=Status.CONNECTED, new=Status.FAILED, trigger="test")
    with pytest.raises(AssertionError):
        assert_every_history_is_a_legal_chain()
