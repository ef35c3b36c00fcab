"""Linking without a camera: by a code that is typed on the phone, while the pairing shows a QR code."""

from collections.abc import Callable
from functools import partial

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts import phones
from accounts.bridges import client
from accounts.db.transactions import atomically
from accounts.lifecycle import Status
from accounts.models import Account, BridgeOrder, User
from accounts.orders import outbox
from accounts.pairing import bridge_events
from accounts.pairing.attempts import PairingRefused

MOST = 3  # per attempt: each makes WhatsApp notify that phone, whoever owns it


@atomically
def ask_pairing_code(account_id: int, *, phone_number: str, actor: User | None = None) -> BridgeOrder:
    """Order a code for that phone.

    Raises PairingRefused: INVALID_NUMBER, NOT_PAIRING, NO_PAIRING_CODES, TOO_MANY_CODES, CODE_UNDER_WAY.
    """
    country = Account.objects.values_list("workspace__country", flat=True).get(pk=account_id)
    try:
        phone_number = phones.normalise(phone_number, country=country)
    except ValidationError as error:
        raise PairingRefused("INVALID_NUMBER", error.messages[0]) from error
    account = Account.objects.lock(account_id)
    session = account.current_session
    # A bridge makes a code only where it would show a QR code.
    if session is None or account.status != Status.QR_SCANNING or not session.shows_codes:
        raise PairingRefused("NOT_PAIRING", _("There is no QR code at the moment. Get a new one first."))
    if not session.bridge.offers_codes:
        raise PairingRefused("NO_PAIRING_CODES", _("This pairing works with the QR code only."))
    asked = session.orders.filter(kind=outbox.Kind.PAIRING_CODE)
    if asked.count() >= MOST:
        raise PairingRefused("TOO_MANY_CODES", _("Enough codes were asked for. Scan the QR code, or get a new one."))
    if asked.filter(state__in=BridgeOrder.UNDER_WAY).exists():
        raise PairingRefused("CODE_UNDER_WAY", _("A code is on its way. Wait some seconds."), retry_after=5)
    return outbox.order(session, outbox.Kind.PAIRING_CODE, phone_number=phone_number, actor=actor)


def fetch(order: BridgeOrder) -> Callable[[], object] | None:
    """Get the code from the bridge, which may also send it by webhook; give what shows it. Raises BridgeError."""
    code, expires_in = client.pairing_code(order.bridge, order.session, phone_number=order.phone_number)
    if not code:
        return None
    return partial(bridge_events.pairing_code_shown, order.session_id, code=code, expires_in=expires_in)
