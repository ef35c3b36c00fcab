"""The requests of a Node bridge as they were seen on the wire (tests/fixtures/requests), sent to the real URLs."""

import json
from typing import Any

from accounts.models import LinkSession
from tests.support import ROOT
from tests.support.door import DoorClient
from tests.support.signing import signed_headers

FOLDER = ROOT / "tests" / "fixtures" / "requests"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def send(name: str, session: LinkSession, *, secret: str = "alpha", account_id: int | None = None) -> Any:
    """Send the recorded request about this session, with the credentials of a bridge ("alpha-key", "alpha-hmac")."""
    recorded = json.loads((FOLDER / f"{name}.json").read_text())
    known = {
        "session_id": session.session_id,
        "workspace_id": session.account.workspace_id,
        "account_id": account_id or session.account_id,
        "api_key": f"{secret}-key",
        "host": "testserver",
    }
    body = fill(recorded["body"], known)
    raw, signature = signed_headers(f"{secret}-hmac", body) if body is not None else (b"", {})
    known |= {"signature": signature.get("X-HMAC-Signature"), "timestamp": signature.get("X-Timestamp")}
    method, path, headers = recorded["method"], fill(recorded["path"], known), fill(recorded["headers"], known)
    return DoorClient(raise_request_exception=False).generic(method, path, raw, "application/json", headers=headers)


def fill(value: Any, known: dict[str, Any]) -> Any:
    """A placeholder alone becomes the value itself: a number stays a number."""
    if isinstance(value, dict):
        return {key: fill(inner, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, known) for inner in value]
    if not isinstance(value, str):
        return value
    if value.startswith("{") and value[1:-1] in known:
        return known[value[1:-1]]
    for name, text in known.items():
        value = value.replace(f"{{{name}}}", str(text))
    return value
