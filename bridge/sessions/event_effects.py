"""The effect of each event on the state of its session."""

import time
from collections.abc import Callable, Mapping

from bridge.clock import iso_now
from bridge.sessions.stored import Session

Data = Mapping[str, object]

LOGGED_IN = frozenset({"authenticated", "connected"})
# In these states the client runs and is not connected: a start or reconnect makes a new client.
DOWN = frozenset({"disconnected", "error"})
# After these events the bridge has given the session up and forgets it.
FINAL = frozenset({"session_expired"})


def apply(session: Session, event: str, *, data: Data) -> None:
    session.last_activity = iso_now()
    effect = EFFECTS.get(event)
    if effect:
        effect(session, data)


def _qr(session: Session, data: Data) -> None:
    # A code after the login does not change the status: the reference bridge sends some late (contract 1.2).
    if session.status in LOGGED_IN:
        return
    session.status = "qr_scanning"
    session.qr_code = str(data["qr_code"])
    session.qr_text = str(data["qr_text"]) if "qr_text" in data else None
    session.qr_count += 1
    session.qr_generated_at = int(time.time() * 1000)


def _action_required(session: Session, data: Data) -> None:
    session.status = "action_required"


def _authenticated(session: Session, data: Data) -> None:
    session.status = "authenticated"
    session.logged_in = True
    session.authenticated_at = iso_now()
    session.qr_code = session.qr_text = None  # used up


def _ready(session: Session, data: Data) -> None:
    session.status = "connected"
    session.logged_in = True
    session.connected_at = iso_now()
    session.phone_number = str(data["phone_number"])
    session.platform = str(data["platform"]) if "platform" in data else None
    session.extraction_method = str(data.get("extraction_method", "unknown"))


def _disconnected(session: Session, data: Data) -> None:
    session.connected_at = None
    if data.get("reason") == "LOGOUT":
        # The phone removed the device; codes of the same session follow (contract 1.4).
        session.status = "qr_scanning"
        session.logged_in = False
    else:
        session.status = "disconnected"


def _error(session: Session, data: Data) -> None:
    session.status = "error"


EFFECTS: dict[str, Callable[[Session, Data], None]] = {
    "qr_code_generated": _qr,
    "session_action_required": _action_required,
    "session_authenticated": _authenticated,
    "session_ready": _ready,
    "session_disconnected": _disconnected,
    "session_error": _error,
}
