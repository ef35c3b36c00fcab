"""A test message proves that a link works; a pairing code links without a camera. Both go out once."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Message
from accounts.pairing import codes, link_probe
from accounts.pairing.attempts import PairingRefused
from accounts.pairing.link_probe import ProbeStep
from tests.support import misbehaving
from tests.support.links import QR, link
from tests.support.misbehaving import MisbehavingBridge, Seen, status, well
from tests.support.orders import wait
from tests.support.portal import PHONE, Portal, make_bridge
from tests.support.queue import run_due_tasks

State = BridgeOrder.State
MESSAGE_ID = "true_6281167328422@c.us_3EB0F9E38AAA030B898A"


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    bridge = make_bridge("alpha", url=node.url)
    Bridge.objects.update(capabilities=["pairing_code"])
    return bridge


def sends(talk: misbehaving.Conversation, seen: Seen) -> None:
    talk.answer(200, {"success": True, "message_id": MESSAGE_ID, "timestamp": 1795173043})


class TestTestMessage:
    @pytest.fixture
    def linked(self, node: MisbehavingBridge, portal: Portal, account: Account, session: LinkSession) -> Account:
        run_due_tasks()
        link(portal, session)
        node.seen.clear()
        node.plays(sends)
        account.refresh_from_db()
        return account

    def test_it_goes_to_the_accounts_own_number(self, node: MisbehavingBridge, linked: Account) -> None:
        order = link_probe.send_test_message(linked.pk, actor=None)
        assert link_probe.proof_of(order).step == ProbeStep.WAITING
        run_due_tasks()
        order.refresh_from_db()
        (seen,) = node.seen
        assert (seen.method, seen.path) == ("POST", "/api/messages/send")
        assert seen.body["recipient_phone"] == PHONE
        assert (seen.body["session_id"], seen.body["type"]) == (order.session.session_id, "text")
        assert "is linked and can send" in seen.body["message"]
        assert (order.state, order.message_id) == (State.CONFIRMED, MESSAGE_ID)

    def test_or_to_another_one_as_people_write_it(self, node: MisbehavingBridge, linked: Account) -> None:
        link_probe.send_test_message(linked.pk, phone_number="+62 812-3456-7890", actor=None)
        run_due_tasks()
        assert node.seen[0].body["recipient_phone"] == "6281234567890"

    @pytest.mark.parametrize(
        ("ack", "step"),
        [
            (None, ProbeStep.SENT),
            (1, ProbeStep.SENT),
            (2, ProbeStep.DELIVERED),
            (3, ProbeStep.READ),
            (4, ProbeStep.READ),
            (-1, ProbeStep.FAILED),
        ],
    )
    def test_its_acks_are_the_proof(self, linked: Account, portal: Portal, ack: int | None, step: ProbeStep) -> None:
        order = link_probe.send_test_message(linked.pk, actor=None)
        run_due_tasks()
        order.refresh_from_db()
        if ack is not None:
            acked = {"message_id": MESSAGE_ID, "status": "sent", "ack_level": ack}
            assert portal.post("message_status_updated", order.session, **acked).status_code == 200
            assert Message.objects.filter(message_id=MESSAGE_ID).exists()
        assert link_probe.proof_of(order).step == step

    def test_an_answer_without_an_id_is_a_failure(self, node: MisbehavingBridge, linked: Account) -> None:
        node.plays(well)
        assert self.outcome(linked) == (State.FAILED, "it answered without a message id, so nothing was sent")
        assert Bridge.objects.get().failing_since is None

    def test_a_refusal_is_final_and_in_the_bridges_words(self, node: MisbehavingBridge, linked: Account) -> None:
        node.plays(lambda talk, seen: talk.answer(500, {"error": f"Evaluation failed: {PHONE}: invalid wid"}))
        assert self.outcome(linked) == (
            State.FAILED,
            "it answered 500: Evaluation failed: [number]: invalid wid",
        )
        assert len(node.commands) == 1
        assert Bridge.objects.get().failing_since is None, "one message is no reason to leave it alone"

    @pytest.mark.usefixtures("impatient")
    @pytest.mark.parametrize("act", [misbehaving.drops_the_line, misbehaving.hangs, misbehaving.says_html])
    def test_without_a_clear_answer_it_is_not_sent_twice(
        self, node: MisbehavingBridge, linked: Account, act: misbehaving.Act
    ) -> None:
        node.plays(act)
        state, error = self.outcome(linked)
        assert state == State.FAILED
        assert error.endswith("It may have been sent.")
        assert len(node.commands) == 1

    def test_a_worker_that_died_with_it_is_no_reason_to_send_it_twice(
        self, node: MisbehavingBridge, linked: Account
    ) -> None:
        order = link_probe.send_test_message(linked.pk, actor=None)
        ago = timezone.now() - timedelta(seconds=30)
        BridgeOrder.objects.filter(pk=order.pk).update(state=State.CLAIMED, attempts=1, due_at=ago, posted_at=ago)
        wait(order, 1)
        assert (order.state, node.commands) == (State.FAILED, [])
        assert link_probe.proof_of(order).text == "it was broken off before an answer was noted. It may have been sent."

    def test_a_bridge_that_is_down_is_tried_for_two_minutes(
        self, node: MisbehavingBridge, bridge: Bridge, linked: Account
    ) -> None:
        Bridge.objects.update(url="http://127.0.0.1:1")
        order = link_probe.send_test_message(linked.pk, actor=None)
        run_due_tasks()
        order.refresh_from_db()
        assert order.state == State.PENDING
        BridgeOrder.objects.filter(pk=order.pk).update(created_at=timezone.now() - timedelta(seconds=121))
        wait(order, 20)
        assert (order.state, order.error) == (State.FAILED, "it cannot be reached")

    def test_one_at_a_time(self, linked: Account) -> None:
        link_probe.send_test_message(linked.pk, actor=None)
        with pytest.raises(link_probe.SendRefused, match="on its way") as refused:
            link_probe.send_test_message(linked.pk, actor=None)
        assert refused.value.code == "TEST_UNDER_WAY"

    def test_only_from_a_connected_account(self, account: Account, session: LinkSession) -> None:
        with pytest.raises(link_probe.SendRefused, match="not connected") as refused:
            link_probe.send_test_message(account.pk, actor=None)
        assert refused.value.code == "NOT_CONNECTED"

    def test_not_to_what_is_no_number(self, linked: Account) -> None:
        with pytest.raises(link_probe.SendRefused) as refused:
            link_probe.send_test_message(linked.pk, phone_number="mum", actor=None)
        assert refused.value.code == "INVALID_NUMBER"

    @staticmethod
    def outcome(account: Account) -> tuple[str, str]:
        order = link_probe.send_test_message(account.pk, actor=None)
        run_due_tasks()
        order.refresh_from_db()
        return order.state, order.error


class TestPairingCode:
    @pytest.fixture
    def shown(self, node: MisbehavingBridge, portal: Portal, session: LinkSession) -> LinkSession:
        run_due_tasks()
        portal.post("qr_code_generated", session, **QR)
        node.seen.clear()
        return session

    def test_it_is_asked_for_and_shown(self, node: MisbehavingBridge, shown: LinkSession) -> None:
        node.plays(lambda talk, seen: talk.answer(200, {"pairing_code": "ABCD-EFGH", "expires_in": 160}))
        order = codes.ask_pairing_code(shown.account_id, phone_number="+62 811 6732 8422")
        run_due_tasks()
        order.refresh_from_db()
        shown.refresh_from_db()
        assert node.seen[0].path == f"/api/sessions/{shown.session_id}/pairing-code"
        assert node.seen[0].body["phone_number"] == PHONE
        assert (order.state, shown.pairing_code) == (State.CONFIRMED, "ABCD-EFGH")
        assert shown.pairing_code_expires_at is not None
        assert 150 < (shown.pairing_code_expires_at - timezone.now()).total_seconds() <= 160

    @pytest.mark.parametrize("answer", [{}, {"pairing_code": 7, "expires_in": 60}, {"pairing_code": "x" * 17}])
    def test_an_answer_without_a_code_leaves_it_to_the_webhook(
        self, node: MisbehavingBridge, shown: LinkSession, answer: dict[str, object]
    ) -> None:
        node.plays(lambda talk, seen: talk.answer(200, answer))
        codes.ask_pairing_code(shown.account_id, phone_number=PHONE)
        run_due_tasks()
        shown.refresh_from_db()
        assert shown.pairing_code == ""

    @pytest.mark.parametrize(
        ("expires_in", "seconds"),
        [(None, 60), ("160", 160), (160.9, 160), (160_000, 160), (7200, 3600), (0, 60), (-1, 60), ([], 60), (True, 60)],
        ids=str,
    )
    def test_an_answer_is_read_as_an_event_is(
        self, node: MisbehavingBridge, shown: LinkSession, expires_in: object, seconds: int
    ) -> None:
        node.plays(lambda talk, seen: talk.answer(200, {"pairing_code": " ABCD-EFGH ", "expires_in": expires_in}))
        codes.ask_pairing_code(shown.account_id, phone_number=PHONE)
        run_due_tasks()
        shown.refresh_from_db()
        assert shown.pairing_code == "ABCD-EFGH"
        assert shown.pairing_code_expires_at is not None
        left = (shown.pairing_code_expires_at - timezone.now()).total_seconds()
        assert seconds - 10 < left <= seconds

    @pytest.mark.parametrize("code", [None, "", "   ", [], {}, True, "ABC", "AB\x00D", "AB\ud800D", "x" * 17], ids=repr)
    def test_what_is_no_code_is_none_in_an_event_as_in_an_answer(
        self, node: MisbehavingBridge, portal: Portal, shown: LinkSession, code: object
    ) -> None:
        node.plays(lambda talk, seen: talk.answer(200, {"pairing_code": code, "expires_in": 60}))
        codes.ask_pairing_code(shown.account_id, phone_number=PHONE)
        run_due_tasks()
        data = {"session_id": shown.session_id, "pairing_code": code, "expires_in": 60}
        told = portal.send(json.dumps({"event": "pairing_code_generated", "data": data}).encode())
        assert told.json()["outcome"] == "unreadable"
        shown.refresh_from_db()
        assert shown.pairing_code == ""

    @pytest.mark.parametrize("act", [status(500), misbehaving.drops_the_line])
    def test_it_is_asked_for_once(self, node: MisbehavingBridge, shown: LinkSession, act: misbehaving.Act) -> None:
        node.plays(act)
        order = codes.ask_pairing_code(shown.account_id, phone_number=PHONE)
        run_due_tasks()
        wait(order, 30)
        assert (order.state, len(node.commands)) == (State.FAILED, 1)

    def test_a_worker_that_died_with_it_makes_the_phone_ask_once(
        self, node: MisbehavingBridge, shown: LinkSession
    ) -> None:
        order = codes.ask_pairing_code(shown.account_id, phone_number=PHONE)
        ago = timezone.now() - timedelta(seconds=30)
        BridgeOrder.objects.filter(pk=order.pk).update(state=State.CLAIMED, attempts=1, due_at=ago, posted_at=ago)
        wait(order, 1)
        assert (order.state, node.commands) == (State.FAILED, [])
        assert order.error == "it was broken off before an answer was noted. The phone may be asking for it."

    def test_one_at_a_time(self, shown: LinkSession) -> None:
        codes.ask_pairing_code(shown.account_id, phone_number=PHONE)
        assert self.refusal(shown) == "CODE_UNDER_WAY"

    def test_only_from_a_bridge_that_can(self, shown: LinkSession) -> None:
        Bridge.objects.update(capabilities=["qr"])
        assert self.refusal(shown) == "NO_PAIRING_CODES"

    def test_only_while_a_qr_code_is_there(self, session: LinkSession, portal: Portal) -> None:
        assert self.refusal(session) == "NOT_PAIRING"
        portal.post("qr_code_generated", session, **QR)
        portal.post("session_authenticated", session)
        assert self.refusal(session) == "NOT_PAIRING"

    def test_not_for_what_is_no_number(self, shown: LinkSession) -> None:
        with pytest.raises(PairingRefused) as refused:
            codes.ask_pairing_code(shown.account_id, phone_number="mum")
        assert refused.value.code == "INVALID_NUMBER"

    def test_a_session_that_has_ended_is_asked_for_nothing(self, node: MisbehavingBridge, shown: LinkSession) -> None:
        order = codes.ask_pairing_code(shown.account_id, phone_number=PHONE)
        LinkSession.objects.filter(pk=shown.pk).update(ended_at=timezone.now())
        run_due_tasks()
        order.refresh_from_db()
        assert (order.state, node.commands) == (State.CANCELLED, [])

    @staticmethod
    def refusal(session: LinkSession) -> str:
        with pytest.raises(PairingRefused) as refused:
            codes.ask_pairing_code(session.account_id, phone_number=PHONE)
        return refused.value.code

    def test_not_without_end(self, node: MisbehavingBridge, shown: LinkSession) -> None:
        for _ in range(codes.MOST):
            codes.ask_pairing_code(shown.account_id, phone_number=PHONE)
            run_due_tasks()
        assert self.refusal(shown) == "TOO_MANY_CODES"
