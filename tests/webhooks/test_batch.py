"""Many events under one signature: each has its answer, and they count in their order."""

from typing import Any

import pytest

from accounts.lifecycle import Status
from accounts.models import Account, LinkSession, Message
from api.http.rate_limit import forget
from tests.support.chats import PRIVATE, media
from tests.support.door import DoorClient
from tests.support.links import READY, status_of
from tests.support.portal import make_bridge
from tests.support.refusals import assert_refused
from tests.support.signing import signed_headers, signed_headers_2
from webhooks.models import WebhookEvent

PATH = "/api/whatsapp/webhooks/batch"


def send(*events: Any, secret: str = "alpha-hmac", at: int | None = None) -> Any:
    raw, headers = signed_headers(secret, {"events": list(events)}, at=at)
    return DoorClient(raise_request_exception=False).post(PATH, raw, "application/json", headers=headers)


def told(event: str, session: LinkSession, **data: Any) -> dict[str, Any]:
    return {"event": event, "data": {"session_id": session.session_id, **data}}


def text(session: LinkSession, number: int | str = 0, **changed: Any) -> dict[str, Any]:
    return told("message_received", session, message=PRIVATE | {"id": f"false_1@c.us_{number}"} | changed)


def outcomes(answer: Any) -> list[Any]:
    assert answer.status_code == 200, answer.content
    return [result.get("outcome") or result["error"]["code"] for result in answer.json()["results"]]


def test_each_event_has_its_answer_in_its_place(session: LinkSession) -> None:
    answer = send(
        text(session, 1),
        told("message_status_updated", session, message_id="false_1@c.us_1", ack_level=2),
        told("session_ready", session, **READY),
        text(session, 2),
        text(session, 1),
        {"event": "message_read", "data": {"session_id": "webjs_nobody", "message_id": "x"}},
    )
    assert outcomes(answer) == ["applied", "applied", "applied", "applied", "no_change", "unknown_session"]
    assert status_of(session.account) == Status.CONNECTED
    assert Message.objects.count() == 2


def test_the_order_within_a_session_is_kept(session: LinkSession) -> None:
    send(told("session_ready", session, **READY), told("session_disconnected", session, reason="NAVIGATION"))
    assert status_of(session.account) == Status.DISCONNECTED
    send(told("session_disconnected", session, reason="x"), told("session_ready", session, **READY))
    assert status_of(session.account) == Status.CONNECTED


def test_five_hundred_with_one_that_cannot_be_read(session: LinkSession) -> None:
    bad = told("message_received", session, message={"body": "no id"})
    answer = send(*[text(session, number) for number in range(250)], bad, *[text(session, n) for n in range(250, 499)])
    found = outcomes(answer)
    assert found.count("applied") == 499
    assert answer.json()["results"][250]["status"] == 400
    assert found[250] == "INVALID_FIELD"
    assert Message.objects.count() == 499


def test_a_file_among_them(session: LinkSession) -> None:
    assert outcomes(send(text(session), told("message_received", session, message=media(b"abc")))) == ["applied"] * 2
    assert Message.objects.exclude(media="").count() == 1


def test_the_same_batch_again_counts_once(session: LinkSession) -> None:
    events = [told("session_authenticated", session), told("session_ready", session, **READY)]
    raw, headers = signed_headers("alpha-hmac", {"events": events})
    answers = [DoorClient().post(PATH, raw, "application/json", headers=headers) for _ in range(2)]
    assert [outcomes(answer) for answer in answers] == [["applied"] * 2, ["duplicate"] * 2]
    assert WebhookEvent.objects.count() == 2


def test_by_version_2_each_event_has_an_id_which_is_its_identity(session: LinkSession) -> None:
    event = told("session_ready", session, **READY)

    def by_2(*events: Any) -> Any:
        raw, headers = signed_headers_2("alpha-hmac", {"events": list(events)}, path=PATH)
        return DoorClient().post(PATH, raw, "application/json", headers=headers)

    assert outcomes(by_2(event, event | {"id": "e1"})) == ["INVALID_FIELD", "applied"]
    assert outcomes(by_2(event | {"id": "e2"}, event | {"id": "e1"}))[1] == "duplicate"
    assert outcomes(by_2(text(session) | {"id": "m1"})) == ["applied"]


def test_what_is_over_its_budget_is_refused_alone(session: LinkSession, settings: Any) -> None:
    settings.LINKDESK_LIMIT_MESSAGES = 3
    forget()
    answer = send(*[text(session, number) for number in range(5)], told("session_ready", session, **READY))
    assert outcomes(answer) == ["applied"] * 3 + ["RATE_LIMITED"] * 2 + ["applied"]
    refused = answer.json()["results"][3]
    assert (refused["status"], refused["error"]["retry_after"] > 0) == (429, True)


def test_another_bridges_session_stays_unknown(session: LinkSession) -> None:
    make_bridge("beta")
    assert outcomes(send(text(session), secret="beta-hmac")) == ["unknown_session"]
    assert not Message.objects.exists()


@pytest.mark.parametrize("events", [[], "many", [{}] * 501, None])
def test_what_is_no_batch(account: Account, bridge: Any, events: Any) -> None:
    raw, headers = signed_headers("alpha-hmac", {"events": events})
    assert_refused(DoorClient().post(PATH, raw, "application/json", headers=headers), 400, "INVALID_FIELD")


def test_what_is_no_event(session: LinkSession) -> None:
    assert outcomes(send(1, {}, {"event": "message_read"}, {"event": "x", "data": {}}, text(session))) == [
        *["INVALID_FIELD"] * 4,
        "applied",
    ]


def test_a_stranger(session: LinkSession) -> None:
    assert_refused(send(text(session), secret="nobody"), 401, "INVALID_SIGNATURE")
