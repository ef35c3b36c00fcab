"""Webhooks that are refused: as raw bytes, with which codes, and with no row left behind."""

from typing import Any

import pytest

from accounts.models import LinkSession, Message, Transition
from tests.support.door import DoorClient
from webhooks.models import UnmatchedTraffic, WebhookEvent

# Every way in which a signed webhook may be refused: docs/bridge-api.md lists them for whoever writes a bridge.
CODES = {
    "INVALID_UTF8",
    "INVALID_JSON",
    "NOT_AN_OBJECT",
    "TOO_DEEP",
    "TOO_MANY_VALUES",
    "NUL_IN_TEXT",
    "LONE_SURROGATE",
    "NUMBER_OUT_OF_RANGE",
    "DUPLICATE_KEY",
    "INVALID_FIELD",
    "BODY_TOO_LARGE",
}
URL = "/api/whatsapp/webhooks/webjs"


@pytest.fixture
def body(session: LinkSession) -> dict[str, Any]:
    return {"event": "session_authenticated", "data": {"session_id": session.session_id}}


@pytest.fixture
def rows(session: LinkSession) -> Any:
    """Gives how many rows there are of all that a webhook may write; the world is counted when the test begins."""

    def count() -> list[int]:
        session.refresh_from_db()
        models = (WebhookEvent, UnmatchedTraffic, Message, Transition)
        return [*(model.objects.count() for model in models), session.account.version, session.qr_count]

    return count


def post(raw: bytes, headers: dict[str, str]) -> Any:
    return DoorClient(raise_request_exception=False).post(URL, raw, "application/json", headers=headers)


def assert_refused(answer: Any, status: int, code: str) -> None:
    assert answer.headers["Content-Type"] == "application/json"
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert answer.json()["success"] is False
    assert error["message"]
