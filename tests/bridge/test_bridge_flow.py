"""From the order to start until the account is connected, as the portal sees it."""

import base64
import json
import re
from pathlib import Path

from bridge.engines.simulated_login import INBOX_LENGTH
from bridge.outbox.signing import same_secret, sign
from tests.support.bridge_world import QUICK, SESSION, SILENT, Desk, Portal, until


def test_the_test_vector_of_version_2_verifies() -> None:
    body = (
        b'{"event":"session_authenticated","data":{"workspace_id":1,'
        b'"session_id":"webjs_1_1763600000_abcd1234","status":"authenticated"}}'
    )
    headers = {
        "X-Timestamp": "1795173039",
        "X-Event-Id": "evt-0001",
        "X-Bridge-Boot": "boot-a",
        "X-Bridge-Sequence": "7",
    }
    assert sign("s3cret", "POST", "/api/whatsapp/webhooks/webjs", headers=headers, body=body) == (
        "4df801cb8eb548ea7a9a379a09b58beb7ca100e2ccb886fbb6037a8257d1e4e6"
    )


def test_secrets_are_compared_as_bytes() -> None:
    assert same_secret("schlüssel", expected="schlüssel")
    assert not same_secret("schlüssel", expected="s3cret")
    assert not same_secret("\ud800", expected="s3cret")
    assert not same_secret(None, expected="s3cret")


async def test_a_session_shows_a_code_then_authenticates_then_is_ready(portal: Portal, desk: Desk) -> None:
    status, answer = await desk.start()
    assert (status, answer["success"], answer["session_id"]) == (200, True, SESSION)
    await until(lambda: portal.find("session_ready"))
    assert portal.events() == ["qr_code_generated", "session_authenticated", "session_ready"]
    qr, authenticated, ready = (webhook.data for webhook in portal.accepted)
    assert (qr["expires_in"], qr["qr_count"], qr["is_regeneration"]) == (60, 1, False)
    assert qr["qr_text"].startswith("2@")
    assert 200 <= len(qr["qr_text"]) <= 300
    assert base64.b64decode(qr["qr_code"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert authenticated["status"] == "authenticated"
    assert re.fullmatch(r"62811\d{8}:\d{1,2}@s\.whatsapp\.net", authenticated["device_jid"])
    assert ready["device_jid"] == authenticated["device_jid"]
    assert ready["device_jid"].startswith(ready["phone_number"] + ":")
    assert (ready["status"], ready["platform"], ready["extraction_method"]) == (
        "connected",
        "android",
        "simulated",
    )


async def test_every_webhook_has_the_contracts_headers(portal: Portal, desk: Desk) -> None:
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    headers = [webhook.headers for webhook in portal.accepted]
    sequences = [int(one["X-Bridge-Sequence"]) for one in headers]
    assert sequences == sorted(set(sequences))
    assert {one["X-Bridge-Boot"] for one in headers} == {desk.bridge.registry.boot}
    assert len({one["X-Event-Id"] for one in headers}) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", one["X-Event-Id"]) for one in headers)
    assert {one["Content-Type"] for one in headers} == {"application/json"}
    assert {one["Connection"].lower() for one in headers} == {"close"}
    assert b'{"event":"qr_code_generated","data":{"workspace_id":1,' in portal.accepted[0].raw


async def test_ids_are_echoed_exactly_as_given(portal: Portal, desk: Desk) -> None:
    await desk.start(workspace_id="9")
    await until(lambda: portal.find("session_ready"))
    assert {webhook.data["workspace_id"] for webhook in portal.accepted} == {"9"}
    _, answer = await desk.status()
    assert answer["workspace_id"] == "9"


async def test_status_list_and_metadata_show_the_session(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=SILENT)
    await until(lambda: portal.find("qr_code_generated"))
    _, answer = await desk.call("GET", f"/api/sessions/{SESSION}/metadata")
    shown = portal.accepted[0].data
    assert answer["metadata"]["qrCode"] == shown["qr_code"]
    assert answer["metadata"]["qrCount"] == 1
    assert (answer["metadata"]["workspaceId"], answer["metadata"]["accountId"]) == (1, 11)
    await desk.stop(logout=True)
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    _, listed = await desk.call("GET", "/api/sessions")
    ready = portal.accepted[-1].data
    assert listed["total"] == 1
    assert listed["sessions"][0]["status"] == "connected"
    assert listed["sessions"][0]["phone_number"] == ready["phone_number"]
    _, answer = await desk.call("GET", f"/api/sessions/{SESSION}/metadata")
    assert "qrCode" not in answer["metadata"]
    assert answer["metadata"]["phoneExtractionMethod"] == "simulated"


async def test_health_says_what_runs_here(portal: Portal, desk: Desk) -> None:
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    status, answer = await desk.call("GET", "/health", query={})
    assert status == 200
    assert answer["status"] == "healthy"
    assert answer["sessions"] == {"total": 1, "connected": 1, "disconnected": 0}
    assert (answer["library"], answer["capacity"]) == ("simulated", 100)
    assert answer["capabilities"] == ["qr", "pairing_code", "logout"]
    assert answer["boot"] == desk.bridge.registry.boot
    assert {"version", "uptime", "memory", "timestamp"} <= set(answer)


async def test_a_text_message_is_sent_and_acknowledged(portal: Portal, desk: Desk) -> None:
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    order = {"session_id": SESSION, "recipient_phone": "6281234567890", "message": "halo ✓", "type": "text"}
    status, answer = await desk.call("POST", "/api/messages/send", **order)
    assert status == 200
    assert re.fullmatch(r"true_6281234567890@c\.us_3EB0[0-9A-F]{16}", answer["message_id"])
    await until(lambda: portal.find("message_delivered"))
    sent = portal.find("message_sent")[0].data
    assert (sent["message"]["id"], sent["message"]["body"]) == (answer["message_id"], "halo ✓")
    assert "halo ✓".encode() in portal.find("message_sent")[0].raw
    acks = portal.find("message_status_updated")
    assert [(ack.data["ack_level"], ack.data["status"]) for ack in acks] == [
        (1, "pending"),
        (2, "sent"),
        (3, "delivered"),
    ]
    assert {ack.data["message_id"] for ack in acks} == {answer["message_id"]}


async def test_a_pairing_code_is_answered_and_sent(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=SILENT)
    path = f"/api/sessions/{SESSION}/pairing-code"
    status, answer = await desk.call("POST", path, phone_number="6281234567890")
    assert status == 200
    assert re.fullmatch("[1-9A-Z]{4}-[1-9A-Z]{4}", answer["pairing_code"])
    await until(lambda: portal.find("pairing_code_generated"))
    sent = portal.find("pairing_code_generated")[0].data
    assert sent == {
        "workspace_id": 1,
        "session_id": SESSION,
        "pairing_code": answer["pairing_code"],
        "expires_in": answer["expires_in"],
    }


async def test_the_phone_that_typed_the_pairing_code_is_the_one_linked(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"scan_after": 1})
    await desk.call("POST", f"/api/sessions/{SESSION}/pairing-code", phone_number="6281234567890")
    await until(lambda: portal.find("session_ready"))
    assert portal.find("session_ready")[0].data["phone_number"] == "6281234567890"


def on_screen(tmp_path: Path, session_id: str) -> list[tuple[str, bool]]:
    """What the simulated phone shows: (body, whether it sent it)."""
    lines = (tmp_path / "simulated" / session_id / "phone-inbox.jsonl").read_text().splitlines()
    return [(message["body"], message["from_me"]) for message in map(json.loads, lines)]


async def send(desk: Desk, recipient: str, text: str) -> str:
    order = {"session_id": SESSION, "recipient_phone": recipient, "message": text}
    status, answer = await desk.call("POST", "/api/messages/send", **order)
    assert status == 200
    return str(answer["message_id"])


async def test_a_message_to_another_simulated_phone_arrives_there(portal: Portal, desk: Desk, tmp_path: Path) -> None:
    await desk.start(simulate=QUICK | {"phone": "6281111111111"})
    await desk.start("other", account_id=12, simulate=QUICK | {"phone": "6282222222222"})
    await until(lambda: len(portal.find("session_ready")) == 2)
    sent = await send(desk, "6282222222222", "halo ✓")
    await until(lambda: portal.find("message_received") and portal.find("message_delivered"))
    [received] = portal.find("message_received")
    assert (received.data["session_id"], received.data["message"]["from_me"]) == ("other", False)
    assert received.data["message"]["from"] == "6281111111111@c.us"
    assert received.data["message"]["to"] == "6282222222222@c.us"
    assert received.data["message"]["id"] == f"false_6281111111111@c.us_{sent.rpartition('_')[2]}"
    assert on_screen(tmp_path, "other") == [("halo ✓", False)]
    assert on_screen(tmp_path, SESSION) == [("halo ✓", True)]


async def test_a_message_to_oneself_or_to_a_stranger_is_seen_on_the_own_phone(
    portal: Portal, desk: Desk, tmp_path: Path
) -> None:
    await desk.start(simulate=QUICK | {"phone": "6281111111111"})
    await desk.start("other", account_id=12, simulate=SILENT)
    await until(lambda: portal.find("session_ready"))
    await send(desk, "6281111111111", "note")
    await send(desk, "6283333333333", "anybody?")
    await until(lambda: len(portal.find("message_delivered")) == 2)
    assert len(portal.find("message_sent")) == 2
    assert not portal.find("message_received")
    assert on_screen(tmp_path, SESSION) == [("note", True), ("anybody?", True)]
    assert not (tmp_path / "simulated" / "other" / "phone-inbox.jsonl").exists()


async def test_the_phone_shows_the_last_hundred_messages(portal: Portal, desk: Desk, tmp_path: Path) -> None:
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    for number in range(INBOX_LENGTH + 3):
        await send(desk, "6283333333333", str(number))
    assert [body for body, _ in on_screen(tmp_path, SESSION)] == [str(n) for n in range(3, INBOX_LENGTH + 3)]
