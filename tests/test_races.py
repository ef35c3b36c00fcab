"""Many at once. On MariaDB it is the real thing; SQLite lets one writer in after the other, and must lose nothing."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Count, Q, Sum

from accounts import delivery, pairing
from accounts.lifecycle import Status, may_move
from accounts.locking import MYSQL_DEADLOCK, TRIES, atomically
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Message, Transition, Workspace
from accounts.models.session import new_session_id
from accounts.pairing import PairingRefused
from tests.conftest import PHONE, Portal
from tests.misbehaving import Conversation, Seen, misbehaving_bridge, well
from tests.signing import signed_headers
from tests.test_webhook_contract import QR, READY, move_back
from webhooks import inbox
from webhooks.models import UnmatchedTraffic, WebhookEvent

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

TOGETHER = 16
# SQLite has no queue for its lock: of many that wait, one may starve for longer than anybody has patience.
TALKING = 8 if connection.vendor == "sqlite" else 32
PHONES = ["6281100000001", "6281100000002", "6281100000003", "6281100000004"]

TRIES_OF_A_BRIDGE = 4  # contract, section 1.2

numbers = itertools.count()


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Each call in a thread of its own, all let go together; what each gave or raised, in their order."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            gate.wait(timeout=30)
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def until_taken(send: Callable[[], Any]) -> Any:
    """The answer, as a bridge gets it: SQLite under load may be `BUSY`, and nothing was kept then. It sends again."""
    for _ in range(TRIES_OF_A_BRIDGE - 1):
        answer = _request(send)
        if answer.status_code not in {429, 503} or answer.json()["error"]["code"] != "BUSY":
            return answer
        time.sleep(answer.json()["error"]["retry_after"])
    return _request(send)


def _request(send: Callable[[], Any]) -> Any:
    """Its connection ends with it, as in production: a webhook's is impatient (accounts/locking.py), ours are not."""
    try:
        return send()
    finally:
        connection.close()


def tell(portal: Portal, event: str, session: LinkSession, **more: Any) -> str:
    """The portal's word for what became of the event. No two bodies are alike: none is a replay of another."""
    answer = until_taken(partial(portal.post, event, session, number=next(numbers), **more))
    assert answer.status_code == 200, answer.content
    return str(answer.json()["outcome"])


def assert_every_history_is_a_legal_chain() -> None:
    for account in Account.objects.all():
        at = str(Status.INACTIVE)
        for old, new in account.transitions.order_by("pk").values_list("old", "new"):
            assert old == at, "each row's old is the previous row's new"
            assert new == old or may_move(Status(old), Status(new)), f"{old} -> {new}"  # the same: a note
            at = new
        assert account.status == at


def assert_nothing_failed() -> None:
    """Whoever waited for a lock in vain is tried again, as by the sweep. There are no deadlocks."""
    in_vain = Q(error__contains="database is locked") | Q(error__contains="Lock wait timeout")
    for event in WebhookEvent.objects.filter(in_vain, state=WebhookEvent.State.FAILED):
        inbox.retry(event.pk)
    done = [WebhookEvent.State.APPLIED, WebhookEvent.State.IGNORED]
    assert not WebhookEvent.objects.exclude(state__in=done).values_list("event", "state", "error")


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
        results = at_once([partial(pairing.start, account.pk, trigger="test")] * TOGETHER)
        refusals = [result for result in results if isinstance(result, PairingRefused)]
        assert len(refusals) == TOGETHER - 1, results
        assert {refusal.code for refusal in refusals} == {"PAIRING_IN_PROGRESS"}
        assert all(0 < (refusal.retry_after or 0) <= 60 for refusal in refusals)
        assert LinkSession.objects.count() == 1
        assert BridgeOrder.objects.count() == 1

    def test_the_limit_of_open_placeholders_holds(self, workspace: Workspace, bridge: Bridge, settings: Any) -> None:
        settings.LINKDESK_MAX_OPEN_PLACEHOLDERS = 3
        accounts = [Account.objects.create(workspace=workspace) for _ in range(TOGETHER)]
        at_once([partial(pairing.start, account.pk, trigger="test") for account in accounts])
        assert LinkSession.objects.count() == 3

    def test_a_scan_at_the_moment_of_the_deadline_links_either_way(
        self, workspace: Workspace, bridge: Bridge, portal: Portal
    ) -> None:
        for phone in PHONES:
            account = Account.objects.create(workspace=workspace, phone_number=phone)
            session = pairing.start(account.pk, trigger="test")
            tell(portal, "qr_code_generated", session, **QR)
            move_back(session, 121)
            scan = partial(tell, Portal("alpha-hmac"), "session_authenticated", session)
            at_once([partial(pairing.expire, session.pk), scan])
            account.refresh_from_db()
            assert account.status == Status.AUTHENTICATED
            assert account.current_session == session
        assert_nothing_failed()
        assert_every_history_is_a_legal_chain()

    def test_a_reset_and_a_ready_at_once_leave_one_truth(self, workspace: Workspace, bridge: Bridge) -> None:
        for phone in PHONES:
            account = Account.objects.create(workspace=workspace, phone_number=phone)
            session = pairing.start(account.pk, trigger="test")
            ready = partial(tell, Portal("alpha-hmac"), "session_ready", session, **READY | {"phone_number": phone})
            results = at_once([partial(pairing.force_reset, account.pk), ready])
            assert not [result for result in results if isinstance(result, Exception)]
            account.refresh_from_db()
            session.refresh_from_db()
            assert account.status == Status.INACTIVE  # ready first: reset afterwards; reset first: ready is too late
            assert not session.is_open
        assert_every_history_is_a_legal_chain()


@pytest.fixture
def generous(settings: Any) -> None:
    """Budgets are another file's: here a minute's worth of events comes in a second."""
    settings.LINKDESK_LIMIT_LIFECYCLE = settings.LINKDESK_LIMIT_QR = settings.LINKDESK_LIMIT_OTHERS = 100_000


@pytest.mark.usefixtures("generous")
class TestEvents:
    STORY = [
        ("qr_code_generated", QR),
        ("session_authenticated", {}),
        ("session_ready", READY),
        ("session_ready", READY),
        ("session_disconnected", {"reason": "NAVIGATION"}),
        ("session_reconnected", {"status": "reconnected"}),
        ("session_error", {"error": "webhook_send_failed", "message": "x", "phone_number": PHONE}),
        ("qr_code_generated", QR),
        ("session_action_required", {"kind": "passkey", "message": "Confirm on the phone"}),
        ("session_disconnected", {}),
    ]

    def test_320_events_of_one_account_are_all_kept_and_applied_in_some_legal_order(
        self, account: Account, session: LinkSession
    ) -> None:
        def live_through(offset: int) -> None:
            portal = Portal("alpha-hmac")
            for step in range(320 // TALKING):
                event, data = self.STORY[(offset + step) % len(self.STORY)]
                tell(portal, event, session, **data)

        results = at_once([partial(live_through, offset) for offset in range(TALKING)])
        assert results == [None] * TALKING
        assert WebhookEvent.objects.count() == 320
        assert UnmatchedTraffic.objects.count() == 0
        assert_nothing_failed()
        assert_every_history_is_a_legal_chain()
        account.refresh_from_db()
        assert account.phone_number == PHONE
        assert account.transitions.filter(new=Status.CONNECTED).exists()

    def test_240_readies_on_four_phones_with_resets_between(
        self, workspace: Workspace, bridge: Bridge, settings: Any
    ) -> None:
        settings.LINKDESK_MAX_OPEN_PLACEHOLDERS = 1_000
        told: list[str] = []
        workers = min(TALKING, 24)

        def link_again_and_again(worker: int) -> None:
            portal = Portal("alpha-hmac")
            for turn in range(240 // workers):
                placeholder = Account.objects.create(workspace=workspace)
                session = pairing.start(placeholder.pk, trigger="test")
                ready = READY | {"phone_number": PHONES[(worker + turn) % len(PHONES)]}
                told.append(tell(portal, "session_authenticated", session))
                told.append(tell(portal, "session_ready", session, **ready))
                if turn % 3 == 2:
                    placeholder.refresh_from_db()
                    pairing.force_reset(placeholder.resolve().pk)
                told.append(tell(portal, "session_disconnected", session, reason="NAVIGATION"))

        results = at_once([partial(link_again_and_again, worker) for worker in range(workers)])
        assert results == [None] * workers
        assert len(told) == 720
        unmatched = UnmatchedTraffic.objects.aggregate(Sum("count"))["count__sum"] or 0
        # One that met a database in trouble after it was counted is counted again.
        assert WebhookEvent.objects.count() + unmatched + told.count("duplicate") >= 720
        assert_nothing_failed()
        assert_every_history_is_a_legal_chain()
        self.assert_identity_holds()

    def assert_identity_holds(self) -> None:
        live = Account.objects.live()
        assert sorted(live.exclude(phone_number=None).values_list("phone_number", flat=True)) == PHONES
        assert not Account.objects.filter(merged_into__isnull=False, deleted_at=None).exists()
        open_sessions = LinkSession.objects.filter(ended_at=None)
        assert not open_sessions.values("account").annotate(n=Count("pk")).filter(n__gt=1).exists()
        assert not open_sessions.filter(account__deleted_at__isnull=False).exists()
        for account in live.filter(status__in=[Status.CONNECTED, Status.DISCONNECTED]):
            assert account.current_session is not None
            assert account.current_session.is_open
            assert account.current_session.account_id == account.pk

    def test_copies_of_one_event_id_are_one_event_applied_once(self, session: LinkSession) -> None:
        body = {"event": "qr_code_generated", "data": {"session_id": session.session_id, **QR}}

        def deliver() -> Any:
            named = {"X-Event-Id": "e1", "X-Bridge-Boot": str(next(numbers))}
            return until_taken(partial(Portal("alpha-hmac").send, body, **named))

        answers = at_once([deliver] * TOGETHER)
        assert {answer.status_code for answer in answers} == {200}
        assert sorted(answer.json()["outcome"] for answer in answers) == ["applied"] + ["duplicate"] * (TOGETHER - 1)
        assert WebhookEvent.objects.count() == 1
        session.refresh_from_db()
        assert session.qr_count == 1

    def test_exact_replays_are_one_event_applied_once(self, session: LinkSession) -> None:
        body = {"event": "qr_code_generated", "data": {"session_id": session.session_id, **QR}}
        headers = signed_headers("alpha-hmac", body)[1]
        send = partial(Portal("alpha-hmac").send, body, headers=headers)
        answers = at_once([partial(until_taken, send)] * TOGETHER)
        assert {answer.status_code for answer in answers} == {200}
        assert WebhookEvent.objects.count() == 1
        session.refresh_from_db()
        assert session.qr_count == 1

    def test_unmatched_traffic_is_counted_exactly(self, bridge: Bridge) -> None:
        def talk() -> None:
            portal = Portal("alpha-hmac")
            for _ in range(5):
                talk_on = partial(portal.post, "qr_code_generated", "webjs_1_1_nobody00", **QR)
                assert until_taken(talk_on).status_code == 200

        assert at_once([talk] * TOGETHER) == [None] * TOGETHER
        assert UnmatchedTraffic.objects.get().count == TOGETHER * 5


class TestMessages:
    def test_a_message_and_its_acks_in_any_order_are_one_row_with_the_highest_ack(self, session: LinkSession) -> None:
        for round_number in range(6):
            calls = self.message_and_acks(session, f"true_628@c.us_{round_number}")
            results = at_once(calls[round_number:] + calls[:round_number])
            assert not [result for result in results if isinstance(result, Exception)]
            message = Message.objects.get(message_id=f"true_628@c.us_{round_number}")
            assert (message.body, message.delivered, message.ack_level) == ("halo", True, 4)
        assert Message.objects.count() == 6

    def message_and_acks(self, session: LinkSession, message_id: str) -> list[Callable[[], Any]]:
        sent = {"id": message_id, "body": "halo", "from_me": True, "type": "chat", "timestamp": 1795173042}
        ids = {"message_id": message_id}

        def call(event: str, **data: Any) -> Callable[[], Any]:
            return partial(tell, Portal("alpha-hmac"), event, session, **data)

        acks = [call("message_status_updated", **ids, ack_level=level, status="sent") for level in (1, 2, 3, 4)]
        return [
            call("message_sent", message=sent),
            *acks,
            call("message_delivered", **ids),
            call("message_read", **ids),
            call("message_sent", message=sent),
        ]


class TestOrders:
    def test_two_deliveries_of_one_order_are_one_command(self, session: LinkSession, bridge: Bridge) -> None:
        order = session.orders.get()
        returned = threading.Semaphore(0)

        def deliver() -> None:
            delivery.deliver(order.pk)
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


@pytest.mark.skipif(connection.vendor != "mysql", reason="SQLite lets one writer in at a time: nothing to retry")
class TestRetries:
    """The domain's order of locks leaves no deadlock to provoke, so these break it on purpose."""

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
