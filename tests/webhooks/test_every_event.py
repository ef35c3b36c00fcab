"""What holds for every event that there is, also for one that is added tomorrow."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import AccountNotice, LinkSession, Message
from tests.support.linked_once import account, bridge, link_of_all, linked, session, workspace
from tests.support.links import QR, READY
from tests.support.portal import Portal
from webhooks.events.handlers import HANDLED, LIFECYCLE, MESSAGES, SECRETS, Handler
from webhooks.inbox import process
from webhooks.inbox.store import MAX_PAYLOAD
from webhooks.models import WebhookEvent

__all__ = ["account", "bridge", "link_of_all", "linked", "session", "workspace"]

AT = 1795173042
# What an event says beside its session, in full.
DATA: dict[str, dict[str, Any]] = {
    "qr_code_generated": QR,
    "pairing_code_generated": {"pairing_code": "ABCD-EFGH", "expires_in": 60},
    "session_authenticated": {"device_jid": "6281167328422:3@s.whatsapp.net"},
    "session_ready": READY,
    "session_error": {"error": "webhook_send_failed", "phone_number": READY["phone_number"]},
    "session_disconnected": {"reason": "NAVIGATION"},
    "session_expired": {"reason": "503"},
    "session_action_required": {"kind": "passkey", "message": "Confirm on the phone."},
    "session_restricted": {"kind": "chat_cap", "until": 2 * AT, "used": 3, "total": 10, "message": "Wait."},
    "message_received": {"message": {"id": "m", "body": "halo", "timestamp": AT}},
    "message_sent": {"message": {"id": "m", "body": "halo", "timestamp": AT}},
    "message_status_updated": {"message_id": "m", "ack_level": 2},
    "message_delivered": {"message_id": "m"},
    "message_read": {"message_id": "m"},
    "message_edited": {"message_id": "m", "body": "hai", "timestamp": AT},
    "message_revoked": {"message_id": "m", "timestamp": AT},
}
every_event = pytest.mark.parametrize("event", sorted(HANDLED))
every_lifecycle_event = pytest.mark.parametrize("event", sorted(LIFECYCLE))


def shape_of(event: str) -> Handler:
    return (LIFECYCLE | MESSAGES)[event]


@every_event
def test_says_what_was_emptied(event: str) -> None:
    assert process.fields_of(event, DATA.get(event, {}))["emptied"] == ""


@every_event
@pytest.mark.parametrize("value", [None, [], {}, True, 10**18, 19.5, "x" * 20_000, "\ufffd"], ids=lambda v: repr(v)[:9])
def test_is_taken_whatever_its_details_are(portal: Portal, linked: LinkSession, event: str, value: Any) -> None:
    """One at a time and all together; only the id of a message decides."""
    required = {name: told for name, told in DATA.get(event, {}).items() if name in {"message", "message_id"}}
    details = [*shape_of(event).shape().fields.keys() - required.keys(), "nobody_reads_this"]
    for broken in [*({name: value} for name in details), dict.fromkeys(details, value)]:
        answer = portal.post(event, linked, **DATA.get(event, {}) | broken)
        assert answer.status_code == 200, answer.content
        assert answer.json()["outcome"] != "failed", broken


@every_event
def test_survives_a_body_of_20_kb(portal: Portal, linked: LinkSession, event: str) -> None:
    answer = portal.post(event, linked, **DATA.get(event, {}), junk=["x" * 100] * 200)
    assert answer.status_code == 200, answer.content
    assert answer.json()["outcome"] not in {"failed", "ended"}


@every_lifecycle_event
def test_one_that_is_too_long_is_stored_as_it_was_read_and_reads_the_same_again(
    portal: Portal, linked: LinkSession, event: str
) -> None:
    portal.post(event, linked, **DATA.get(event, {}), junk="x" * 20_000)
    stored = WebhookEvent.objects.filter(event=event).latest("pk")
    assert len(json.dumps(stored.payload)) < MAX_PAYLOAD
    assert not stored.payload.keys() & (SECRETS | {"emptied", "junk"})
    once, again = process.fields_of(event, DATA.get(event, {})), process.fields_of(event, stored.payload)
    codes = SECRETS | {"emptied"}
    assert {name: told for name, told in again.items() if name not in codes} == {
        name: told for name, told in once.items() if name not in codes
    }


class TestARestriction:
    def test_too_long_for_the_inbox_keeps_its_time_over_a_second_try(self, portal: Portal, linked: LinkSession) -> None:
        portal.post("session_restricted", linked, kind="time_lock", until=2 * AT, message="y" * 20_000)
        event = WebhookEvent.objects.latest("pk")
        assert (event.state, event.emptied) == (WebhookEvent.State.APPLIED, "message")
        AccountNotice.objects.all().delete()
        WebhookEvent.objects.filter(pk=event.pk).update(state=WebhookEvent.State.FAILED)
        assert process.retry(event.pk, anew=True)
        [notice] = AccountNotice.objects.all()
        assert (notice.kind, notice.until) == ("time_lock", datetime.fromtimestamp(2 * AT, UTC))

    @pytest.mark.parametrize(
        ("broken", "noted"),
        [
            ({"until": "soon"}, "until"),
            ({"until": 90}, "until"),
            ({"kind": [], "active": "perhaps"}, "kind, active"),
            ({"message": None, "used": "ten", "total": -1}, "message, used, total"),
            ({"code": {"n": 463}}, "code"),
            ({}, ""),
        ],
        ids=str,
    )
    def test_names_what_could_not_be_read(
        self, portal: Portal, linked: LinkSession, broken: dict[str, Any], noted: str
    ) -> None:
        assert portal.post("session_restricted", linked, **broken).json()["outcome"] == "applied"
        assert WebhookEvent.objects.latest("pk").emptied == noted


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("2026-11-20T15:10:42Z", 1795187442),
        ("2026-11-20 22:10:42+07:00", 1795187442),
        ("2026-11-20T15:10:42", 1795187442),
    ],
)
def test_a_time_in_iso_8601_is_one(portal: Portal, linked: LinkSession, told: str, seconds: int) -> None:
    portal.post("message_received", linked, message={"id": "m", "timestamp": told})
    sent_at = Message.objects.get().sent_at
    assert sent_at is not None
    assert (sent_at.timestamp(), Message.objects.get().emptied) == (seconds, "")
