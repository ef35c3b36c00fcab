"""The only outbound HTTP: commands to a bridge, as docs/bridge-contract.md, 2, has them.

A bridge's answer is not trusted: its time and size are limited, it must be JSON, and no redirect is followed. Each
function raises BridgeError.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpcore

from accounts import phones, shown_codes
from accounts.bridges import addresses
from accounts.bridges.connections import UNREACHED, CheckedAddresses, NobodyThere
from accounts.fields import storable
from accounts.logs.redaction import redact
from accounts.models import Bridge, BridgeSecret, LinkSession

# Seconds in all. There is no need to wait for a slow answer: evidence confirms an order as well.
COMMAND_WITHIN = 10.0
LIST_WITHIN = 5.0
LONGEST_ID = 191  # characters of a session's id, as the column has it
MAX_ANSWER = 4 * 1024 * 1024  # 3,000 sessions listed are about 0.5 MB
_BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)
UNAUTHORIZED = 401
REFUSES_US = frozenset({UNAUTHORIZED, 403})
NO_SUCH_COMMAND = frozenset({404, 405})
LATER = frozenset({408, 425, 429})
NO_ANSWER = frozenset({502, 504})  # from a proxy: the bridge behind it may still be carrying it out
_SESSIONS = "/api/sessions"

log = logging.getLogger(__name__)
Headers = dict[bytes | str, bytes | str]
Keys = Sequence[str]  # of the bridge, read already, for one who asks many times: that takes as long as a question


class ListedAs(StrEnum):
    """The words in a bridge's list for a session's status. Any other word means nothing here."""

    QR_SCANNING = "qr_scanning"
    AUTHENTICATED = "authenticated"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ERROR = "error"


SCANNED = frozenset({ListedAs.AUTHENTICATED, ListedAs.CONNECTED})  # it has a phone
BEGUN = SCANNED | {ListedAs.QR_SCANNING}  # what a start leads to
DOWN = frozenset({ListedAs.DISCONNECTED, ListedAs.ERROR})


class BridgeError(Exception):
    """A command that did not get a good answer.

    `permanent`: asking again will not help. `unclear`: the bridge may have done it all the same (a time-out, a
    dropped connection), so it must not be repeated blindly. Neither: it was refused and may be tried again.
    `code`: the HTTP status; None: no readable answer. `is_the_bridges`: other orders would fail there as well.
    `never_arrived`: nobody listens there or the host is gone, so it surely was not carried out. `words`: its whole
    answer, for programs alone, as it may hold a number or a secret.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        unclear: bool = False,
        code: int | None = None,
        is_the_bridges: bool = True,
        never_arrived: bool = False,
        words: str = "",
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.unclear = unclear
        self.code = code
        self.is_the_bridges = is_the_bridges
        self.never_arrived = never_arrived
        self.words = words


@dataclass(frozen=True)
class Running:
    """A session in a bridge's list, in its own words: all but the id are empty where it does not say. Its phone is in
    digits, and empty where it cannot be read."""

    session_id: str
    status: str = ""
    phone_number: str = ""
    workspace_id: str = ""

    @property
    def has_phone(self) -> bool:
        return self.status in SCANNED

    @property
    def has_begun(self) -> bool:
        """Whether a client runs there, as after a start. A Node bridge also lists what is left of one that is gone."""
        return self.status in BEGUN

    @property
    def is_connected(self) -> bool:
        return self.status == ListedAs.CONNECTED

    @property
    def names_its_owner(self) -> bool:
        return bool(self.phone_number and self.workspace_id)

    @classmethod
    def read(cls, row: dict[str, Any]) -> "Running":
        told = {name: row.get(name) for name in ("status", "workspace_id")}
        words = {name: str(value) for name, value in told.items() if value is not None}
        return cls(row["session_id"], phone_number=phones.reported(row.get("phone_number")), **words)


def start(bridge: Bridge, session: LinkSession) -> None:
    _command(bridge, "POST", _SESSIONS, {"session_id": session.session_id, **_owner(session)})


def reconnect(bridge: Bridge, session: LinkSession) -> None:
    _command(bridge, "POST", f"/api/sessions/{session.session_id}/reconnect", _owner(session))


def stop(bridge: Bridge, session: LinkSession, *, logout: bool) -> None:
    """Stop the session. `logout` also unlinks the device at WhatsApp; a bridge that answers with a warning did not."""
    answer = _command(bridge, "DELETE", f"/api/sessions/{session.session_id}", {"logout": True} if logout else {})
    if logout and answer.get("warning"):
        raise BridgeError(f"it warned{_quoted(answer['warning'])}", code=200, is_the_bridges=False)


def pairing_code(bridge: Bridge, session: LinkSession, *, phone_number: str) -> tuple[str, int]:
    """The code to type on the phone, and for how many seconds; empty and 0 if it comes by webhook alone."""
    path = f"/api/sessions/{session.session_id}/pairing-code"
    answer = _command(bridge, "POST", path, {"phone_number": phone_number})
    try:
        return shown_codes.typed(answer.get("pairing_code")), _lifetime(answer.get("expires_in"))
    except ValueError:
        return "", 0


def _lifetime(told: object) -> int:
    try:
        return shown_codes.lifetime(told)
    except (ValueError, OverflowError):
        return shown_codes.SHOWN


def send_text(bridge: Bridge, session: LinkSession, *, phone_number: str, text: str) -> str:
    """Give the message's id. A 200 without one means that nothing was sent (docs/bridge-contract.md, 2.1)."""
    values = {"session_id": session.session_id, "recipient_phone": phone_number, "message": text, "type": "text"}
    answer = _command(bridge, "POST", "/api/messages/send", values)
    message_id = answer.get("message_id")
    if not isinstance(message_id, str) or not 0 < len(message_id) <= 255:
        problem = "it answered without a message id, so nothing was sent"
        raise BridgeError(problem, permanent=True, code=200, is_the_bridges=False, words=json.dumps(answer))
    return message_id


def running_sessions(bridge: Bridge, *, keys: Keys = ()) -> dict[str, Running]:
    """The sessions that it runs now, by id. Its /status is no evidence: it answers for dead sessions as well."""
    rows = _command(bridge, "GET", _SESSIONS, {}, within=LIST_WITHIN, keys=keys).get("sessions")
    if not isinstance(rows, list):
        raise BridgeError("the session list has no sessions")
    named = [row for row in rows if isinstance(row, dict) and _is_an_id(row.get("session_id"))]
    if len(named) < len(rows):
        log.warning("bridge %s: %s rows of its list name no session", bridge.pk, len(rows) - len(named))
    return {row["session_id"]: Running.read(row) for row in named}


def _is_an_id(told: object) -> bool:
    """Whether a session may have this id: what fits no column can be none of ours, and must not cost the list."""
    return isinstance(told, str) and 0 < len(told) <= LONGEST_ID and told.isprintable()


def health(bridge: Bridge) -> dict[str, Any]:
    """Its /health. The key is not sent: it is not needed there, and would stand in an access log."""
    status, body = _request(f"{bridge.url.rstrip('/')}/health", "GET", {}, give_up=time.monotonic() + LIST_WITHIN)
    if 200 <= status < 300:
        return _json(body)
    raise BridgeError(_refusal(status, body), code=status)


def _owner(session: LinkSession) -> dict[str, int]:
    # Without the account id the bridge cannot tell us later whose session it restored.
    return {"workspace_id": session.account.workspace_id, "account_id": session.account_id}


def _command(
    bridge: Bridge, method: str, path: str, values: dict[str, Any], *, within: float | None = None, keys: Keys = ()
) -> dict[str, Any]:
    """Call it with each active key until one is taken: during a rotation it may know only the older one."""
    url, give_up = f"{bridge.url.rstrip('/')}{path}", time.monotonic() + (within or COMMAND_WITHIN)
    for key in keys or bridge.secrets(BridgeSecret.Kind.API_KEY) or [""]:
        status, body = _request(url, method, values | ({"api_key": key} if key else {}), give_up=give_up)
        if status != UNAUTHORIZED:
            break
    if 200 <= status < 300:
        return _json(body)
    raise BridgeError(
        _refusal(status, body),
        permanent=400 <= status < 500 and status not in LATER,
        unclear=status in NO_ANSWER,
        code=status,
        is_the_bridges=_is_the_bridges(status, path),
        words=body.decode(errors="replace"),
    )


def _is_the_bridges(status: int, path: str) -> bool:
    """Whether the fault is the bridge's. Most 4xx are the order's; not so a refused key, or a missing /api/sessions."""
    if path == _SESSIONS and status in NO_SUCH_COMMAND:
        return True
    return status // 100 in (3, 5) or status in REFUSES_US | LATER


def _request(url: str, method: str, values: dict[str, Any], *, give_up: float) -> tuple[int, bytes]:
    try:
        return _exchange(url, method, values, give_up=give_up)
    except addresses.NotAllowed as error:
        raise BridgeError(str(error), permanent=True) from error
    except addresses.Unresolved as error:
        raise BridgeError(str(error), never_arrived=isinstance(error, addresses.Unknown)) from error
    except UNREACHED as error:
        raise BridgeError("it cannot be reached", never_arrived=isinstance(error, NobodyThere)) from error
    except _BROKEN as error:  # it may have been carried out before the connection broke
        raise BridgeError(f"no answer ({type(error).__name__})", unclear=True) from error
    except (httpcore.UnsupportedProtocol, ValueError) as error:
        raise BridgeError("its URL is not valid", permanent=True) from error


def _exchange(url: str, method: str, values: dict[str, Any], *, give_up: float) -> tuple[int, bytes]:
    """The key goes where the bridge looks: in the query of a GET, else in the JSON body (a DELETE's too)."""
    content = None
    headers: Headers = {"Host": urlsplit(url).netloc, "Accept": "application/json", "Connection": "close"}
    if method == "GET":
        url = f"{url}?{urlencode(values)}"
    else:
        content, headers["Content-Type"] = json.dumps(values).encode(), "application/json"
    with (
        httpcore.ConnectionPool(network_backend=CheckedAddresses(give_up)) as pool,
        pool.stream(method, url, headers=headers, content=content) as response,
    ):
        return response.status, _read(response)


def _read(response: httpcore.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise BridgeError("its answer is too long", unclear=True)
    return bytes(body)


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = _storable(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise BridgeError("its answer is not JSON", unclear=True) from error
    if not isinstance(answer, dict):
        raise BridgeError("its answer is not an object", unclear=True)
    return answer


def _storable(answer: Any) -> Any:
    """Its texts as a database takes them, so that one broken name does not cost the list. Raises RecursionError.

    Ids of sessions stay as they are: a mended one would be another session's.
    """
    if isinstance(answer, str):
        return storable(answer)
    if isinstance(answer, list):
        return [_storable(inner) for inner in answer]
    if isinstance(answer, dict):
        return {key: inner if key == "session_id" else _storable(inner) for key, inner in answer.items()}
    return answer


def _refusal(status: int, body: bytes) -> str:
    """The text of a refusal, with the bridge's own words if any, cut and without numbers and secrets."""
    try:
        said = _json(body).get("error")
    except BridgeError:  # a page of a proxy
        said = None
    who = "it refuses our API key: it" if status in REFUSES_US else "it"
    return f"{who} answered {status}{_quoted(said)}"


def _quoted(said: Any) -> str:
    return f": {redact(said[:500])[:120]}" if isinstance(said, str) else ""
