"""Proving that a link works: a test message goes out, and its acks come back."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.core.exceptions import ValidationError
from django.db.models import TextChoices
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import phones
from accounts.bridges import client
from accounts.bridges.client import BridgeError
from accounts.db.transactions import atomically
from accounts.lifecycle import Status
from accounts.models import Account, BridgeOrder, Message, User
from accounts.orders import outbox
from accounts.pairing import restrictions

DELIVERED, READ, FAILED = 2, 3, -1  # WhatsApp's acks (docs/bridge-contract.md, 1.3)


class SendRefused(Exception):
    """No test message is sent. The text says why; `code` is for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class ProbeStep(TextChoices):
    WAITING = "waiting", gettext_lazy("waiting")
    SENT = "sent", gettext_lazy("sent")
    DELIVERED = "delivered", gettext_lazy("delivered")
    READ = "read", gettext_lazy("read")
    FAILED = "failed", gettext_lazy("failed")


@dataclass(frozen=True)
class Proof:
    step: ProbeStep
    text: str


@atomically
def send_test_message(account_id: int, *, phone_number: str = "", actor: User | None) -> BridgeOrder:
    """Order one to that number, or to the account's own ("message yourself"). Raises SendRefused.

    It holds the session's lock, so that a double click sends only one.
    """
    account = Account.objects.lock(account_id)
    session = account.current_session
    if session is None or not session.is_open or account.status != Status.CONNECTED:
        raise SendRefused("NOT_CONNECTED", _("The account is not connected, so it cannot send."))
    try:
        own = account.phone_number or ""
        to = phones.normalise(phone_number, country=account.workspace.country) if phone_number else own
        phones.validate(to)
    except ValidationError as error:
        raise SendRefused("INVALID_NUMBER", error.messages[0]) from error
    if session.orders.filter(kind=outbox.Kind.TEST_MESSAGE, state__in=BridgeOrder.UNDER_WAY).exists():
        raise SendRefused("TEST_UNDER_WAY", _("A test message is on its way. Wait until it has arrived or failed."))
    why = BridgeOrder.Why.STAFF if actor else ""
    return outbox.order(session, outbox.Kind.TEST_MESSAGE, phone_number=to, actor=actor, why=why)


def send(order: BridgeOrder) -> Callable[[], object]:
    """Send the message; give what keeps its id. Raises BridgeError, after a notice where WhatsApp refuses messages to
    new people."""
    try:
        message_id = client.send_text(order.bridge, order.session, phone_number=order.phone_number, text=_text())
    except BridgeError as error:
        if restrictions.is_meant_by(error.words, status=error.code):
            restrictions.restricted(order.session_id, kind=restrictions.Kind.SEND_REFUSED, text="", until=None)
        raise
    return partial(_keep_id, order, message_id)


@atomically
def _keep_id(order: BridgeOrder, message_id: str) -> None:
    BridgeOrder.objects.filter(pk=order.pk).update(message_id=message_id)


def proof_of(order: BridgeOrder) -> Proof:
    """How far it came, from the order and the highest ack of its message."""
    if order.state in BridgeOrder.UNDER_WAY:
        return Proof(ProbeStep.WAITING, _("The test message waits for the bridge."))
    if order.state != BridgeOrder.State.CONFIRMED:
        return Proof(ProbeStep.FAILED, order.error or _("The test message was not sent."))
    acks = Message.objects.filter(session=order.session_id, message_id=order.message_id)
    ack = acks.values_list("ack_level", flat=True).first()
    if ack is None or FAILED < ack < DELIVERED:
        return Proof(ProbeStep.SENT, _("The test message was sent; the phone has not confirmed it yet."))
    if ack <= FAILED:
        return Proof(ProbeStep.FAILED, _("WhatsApp could not send the test message."))
    if ack < READ:
        return Proof(ProbeStep.DELIVERED, _("The test message was delivered: this link can send."))
    return Proof(ProbeStep.READ, _("The test message was read: this link can send."))


def _text() -> str:
    """The message, in plain English: nobody knows which language its reader speaks."""
    now = timezone.now()
    return f"Linkdesk test message: this WhatsApp number is linked and can send. ({now:%-d %b %Y, %H:%M} UTC)"
