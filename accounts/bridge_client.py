"""The only outbound HTTP: commands to a bridge, as docs/bridge-api.md has them."""

import json
import time
from typing import Any

import httpx

from accounts.models import Bridge, BridgeSecret, LinkSession

# Seconds in all. Evidence confirms an order, not the answer: there is no need to wait for a slow one.
COMMAND_WITHIN = 10.0
LIST_WITHIN = 5.0
MAX_ANSWER = 4 * 1024 * 1024  # 3,000 sessions listed are about 0.5 MB


class BridgeError(Exception):
    """A command that did not get a good answer.

    `permanent`: asking again will not help. `unclear`: the bridge may have done it all the same (a time-out, a
    dropped connection), so it must not be repeated blindly. Neither: it was refused and may be tried again.
    """

    def __init__(self, message: str, *, permanent: bool = False, unclear: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.unclear = unclear


def start(session: LinkSession) -> None:
    _command(session.bridge, "POST", "/api/sessions", {"session_id": session.session_id, **_owner(session)})


def reconnect(session: LinkSession) -> None:
    _command(session.bridge, "POST", f"/api/sessions/{session.session_id}/reconnect", _owner(session))


def stop(session: LinkSession, *, logout: bool) -> None:
    """`logout` also unlinks the device at WhatsApp, where the bridge can."""
    _command(session.bridge, "DELETE", f"/api/sessions/{session.session_id}", {"logout": True} if logout else {})


def running_sessions(bridge: Bridge) -> dict[str, str]:
    """The sessions it runs now: id -> status, in its own words. Its /status is no evidence: it answers for the dead."""
    rows = _command(bridge, "GET", "/api/sessions", {}, within=LIST_WITHIN).get("sessions")
    if not isinstance(rows, list):
        raise BridgeError("the session list has no sessions")
    named = [row for row in rows if isinstance(row, dict) and isinstance(row.get("session_id"), str)]
    return {row["session_id"]: str(row.get("status")) for row in named}


def _owner(session: LinkSession) -> dict[str, int]:
    # Without the account id the bridge cannot tell us later whose session it restored.
    return {"workspace_id": session.account.workspace_id, "account_id": session.account_id}


def _command(
    bridge: Bridge, method: str, path: str, values: dict[str, Any], *, within: float | None = None
) -> dict[str, Any]:
    """Call it with each active key until one is taken: during a rotation it may know only the older one."""
    keys: list[str | None] = [*bridge.secrets(BridgeSecret.Kind.API_KEY)] or [None]
    url, give_up = f"{bridge.url.rstrip('/')}{path}", time.monotonic() + (within or COMMAND_WITHIN)
    for key in keys:
        status, body = _request(url, method, values | ({"api_key": key} if key else {}), give_up=give_up)
        if status != httpx.codes.UNAUTHORIZED:
            break
    if httpx.codes.is_success(status):
        return _json(body)
    raise BridgeError(f"it answered {status}", permanent=httpx.codes.is_client_error(status))


def _request(url: str, method: str, values: dict[str, Any], *, give_up: float) -> tuple[int, bytes]:
    """The key goes where the bridge looks: in the query of a GET, else in the JSON body (a DELETE's too)."""
    sent: dict[str, Any] = {"params": values} if method == "GET" else {"json": values}
    left = max(0.1, give_up - time.monotonic())
    # Certificates only where they are used: loading them takes longer than the request.
    client = httpx.Client(timeout=left, follow_redirects=False, trust_env=False, verify=url.startswith("https:"))
    try:
        with client, client.stream(method, url, **sent) as response:
            return response.status_code, _read(response, give_up=give_up)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise BridgeError("it cannot be reached") from error
    except httpx.RequestError as error:  # it may have been carried out before the line broke
        raise BridgeError(f"no answer ({type(error).__name__})", unclear=True) from error
    except httpx.InvalidURL as error:
        raise BridgeError("its URL is not valid", permanent=True) from error


def _read(response: httpx.Response, *, give_up: float) -> bytes:
    """The client's time-out is for each piece; a slow drip must end as well."""
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if time.monotonic() > give_up:
            raise BridgeError("its answer takes too long", unclear=True)
        if len(body) > MAX_ANSWER:
            raise BridgeError("its answer is too long", unclear=True)
    return body


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BridgeError("its answer is not JSON", unclear=True) from error
    if not isinstance(answer, dict):
        raise BridgeError("its answer is not an object", unclear=True)
    return answer
