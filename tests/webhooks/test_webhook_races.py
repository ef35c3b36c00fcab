"""Many webhooks at once, in any order, from a bridge that sends again: each is kept, and counts once."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest
from django.db import connection
from django.db.models import Count, Sum

from accounts.db.transactions import patiently
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession, Message, Workspace
from accounts.pairing import attempts
from tests.support.links import QR, READY
from tests.support.portal import PHONE, Portal
from tests.support.races import (
    PHONES,
    assert_every_history_is_a_legal_chain,
    assert_nothing_failed,
    at_once,
    numbers,
    tell,
    until_taken,
)
from tests.support.signing import signed_headers
from webhooks.models import UnmatchedTraffic, WebhookEvent

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

TOGETHER = 16
# SQLite has no queue for its lock: of many that wait, one may starve for longer than anybody has patience.
TALKING = 8 if connection.vendor == "sqlite" else 32


@pytest.fixture
def generous(settings: Any) -> None:
    """Budgets are another file's: here a minute's worth of events comes in a second."""
    settings.LINKDESK_LIMIT_LIFECYCLE = settings.LINKDESK_LIMIT_QR = settings.LINKDESK_LIMIT_OTHERS = 100_000


@pytest.mark.usefixtures("generous")
class TestEvents:
    STORY: ClassVar[list[tuple[str, dict[str, Any]]]] = [
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

    @pytest.mark.slow
    def test_240_readies_on_four_phones_with_resets_between(
        self, workspace: Workspace, bridge: Bridge, settings: Any
    ) -> None:
        settings.LINKDESK_MAX_OPEN_PLACEHOLDERS = 1_000
        told: list[str] = []
        workers = min(TALKING, 24)

        def link_again_and_again(worker: int) -> None:
            portal = Portal("alpha-hmac")
            for turn in range(240 // workers):
                placeholder = patiently(Account.objects.create)(workspace=workspace)  # as `pair` makes one
                session = attempts.start(placeholder.pk, trigger="test")
                ready = READY | {"phone_number": PHONES[(worker + turn) % len(PHONES)]}
                told.append(tell(portal, "session_authenticated", session))
                told.append(tell(portal, "session_ready", session, **ready))
                if turn % 3 == 2:
                    placeholder.refresh_from_db()
                    attempts.force_reset(placeholder.resolve().pk)
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
        assert sorted(map(str, live.exclude(phone_number=None).values_list("phone_number", flat=True))) == PHONES
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
