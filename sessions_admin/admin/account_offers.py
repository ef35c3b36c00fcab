"""Which buttons the page of an account offers now."""

from accounts.lifecycle import Status
from accounts.models import Account

# The statuses in which an action is offered; an action that is not here is always offered.
OFFERED: dict[str, set[Status]] = {
    "renew_qr": set(Status) - {Status.CONNECTED},
    "send_test_message": {Status.CONNECTED},
    "move": {Status.CONNECTED, Status.DISCONNECTED},
}


def is_offered(action: str, account: Account) -> bool:
    return account.status in OFFERED.get(action, Status) and action not in _without_object(account)


def _without_object(account: Account) -> set[str]:
    """The decisions about a number that nothing asks for."""
    session = account.current_session
    asked = {
        "accept_number": session is not None and session.waits_for_its_number and bool(session.reported_phone),
        "take_new_number": bool(account.new_phone),
        "merge_twin": account.twin_of_id is not None,
    }
    return {name for name, is_asked in asked.items() if not is_asked}
