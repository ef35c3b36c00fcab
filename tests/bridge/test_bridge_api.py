"""The HTTP API refuses what it should, in words, and never runs two clients for one session."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.bridge_world import QUICK, SESSION, SILENT, Desk, Portal, running, until


@pytest.mark.parametrize("key", ["wrong", "", "schlüssel", None, 7, ["test-api-key"]])
async def test_a_wrong_key_is_401(desk: Desk, key: Any) -> None:
    assert await desk.start(api_key=key) == (401, {"error": "Invalid API key"})


async def test_the_key_of_a_get_is_in_the_query_only(desk: Desk) -> None:
    refused = (401, {"error": "Invalid API key"})
    assert await desk.call("GET", "/api/sessions", query={}) == refused
    assert await desk.call("GET", "/api/sessions", query={"api_key": "wrong"}) == refused
    assert (await desk.call("GET", "/api/sessions"))[0] == 200
    assert await desk.call("DELETE", f"/api/sessions/{SESSION}?api_key=test-api-key", raw=b"{}") == refused


async def test_an_unknown_route_is_404(desk: Desk) -> None:
    for method, path in [("GET", "/api/nothing"), ("POST", "/nothing"), ("PUT", "/api/sessions")]:
        assert await desk.call(method, path) == (404, {"error": "Endpoint not found"})


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[1]", b'"x"', b"\xff", b"[" * 100_000, b'{"a": "\\ud800"}', b'{"a": NaN}', b'{"a": 1e999}'],
)
async def test_malformed_json_is_400_in_json(desk: Desk, raw: bytes) -> None:
    status, answer = await desk.call("POST", "/api/sessions", raw=raw)
    assert status == 400
    assert set(answer) == {"error"}


async def test_a_body_that_is_too_large_is_413_in_json(desk: Desk) -> None:
    status, answer = await desk.call("POST", "/api/sessions", raw=b" " * 600_000)
    assert status == 413
    assert set(answer) == {"error"}


@pytest.mark.parametrize("account_id", [None, "", True, [], {}])
async def test_a_start_without_an_account_id_is_refused(portal: Portal, desk: Desk, account_id: Any) -> None:
    status, answer = await desk.start(account_id=account_id)
    assert status == 400
    assert "account_id is required" in answer["error"]
    assert desk.bridge.registry.running() == []


async def test_a_start_without_a_workspace_id_is_refused(desk: Desk) -> None:
    status, answer = await desk.start(workspace_id=None)
    assert status == 400
    assert "workspace_id" in answer["error"]


@pytest.mark.parametrize("session_id", ["", "../x", "a/b", "a.b", "ä", "a\n", "a" * 192, 5, None])
async def test_a_bad_session_id_is_refused(desk: Desk, tmp_path: Path, session_id: Any) -> None:
    status, answer = await desk.start(session_id)
    assert status == 400
    assert "session_id" in answer["error"]


async def test_the_longest_session_id_works(portal: Portal, desk: Desk) -> None:
    await desk.start("a" * 191)
    await until(lambda: portal.find("session_ready"))


async def test_an_unknown_session_is_404(desk: Desk) -> None:
    for what in ("status", "metadata"):
        assert await desk.call("GET", f"/api/sessions/nobody/{what}") == (404, {"error": "Session not found"})


async def test_twenty_starts_at_once_make_one_client(portal: Portal, desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.start(simulate=SILENT) for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    _, listed = await desk.call("GET", "/api/sessions")
    assert listed["total"] == 1
    await until(lambda: portal.accepted)
    await asyncio.sleep(0.2)
    assert [webhook.data["qr_count"] for webhook in portal.accepted] == [1]


async def test_starts_stops_and_reconnects_at_once_leave_one_client_or_none(portal: Portal, desk: Desk) -> None:
    ids = {"workspace_id": 1, "account_id": 11}
    for _ in range(3):
        await asyncio.gather(
            *(desk.start(simulate=SILENT) for _ in range(5)),
            *(desk.stop() for _ in range(5)),
            *(desk.call("POST", f"/api/sessions/{SESSION}/reconnect", **ids) for _ in range(5)),
        )
    await desk.stop(logout=True)
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    assert portal.events()[-3:] == ["qr_code_generated", "session_authenticated", "session_ready"]
    _, listed = await desk.call("GET", "/api/sessions")
    assert listed["total"] == 1


async def test_starting_or_reconnecting_what_is_connected_changes_nothing(portal: Portal, desk: Desk) -> None:
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    for answer in [await desk.start(), await desk.call("POST", f"/api/sessions/{SESSION}/reconnect")]:
        assert answer == (200, {"success": True, "session_id": SESSION, "status": "connected"})
    await asyncio.sleep(0.1)
    assert len(portal.accepted) == 3


async def test_reconnect_of_an_unknown_session_starts_it_if_it_has_an_owner(portal: Portal, desk: Desk) -> None:
    path = f"/api/sessions/{SESSION}/reconnect"
    assert (await desk.call("POST", path, workspace_id=1))[0] == 400
    assert (await desk.call("POST", path, workspace_id=1, account_id=11))[0] == 200
    await until(lambda: portal.find("qr_code_generated"))


async def test_after_a_stop_the_login_is_still_there(portal: Portal, desk: Desk) -> None:
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    answer = {"success": True, "message": "Session disconnected successfully"}
    assert await desk.stop() == (200, answer)
    assert (await desk.status())[0] == 404
    await desk.start()
    await until(lambda: len(portal.find("session_ready")) == 2)
    assert portal.events()[3:] == ["session_authenticated", "session_ready"]


@pytest.mark.parametrize("stop_first", [False, True])
async def test_after_a_logout_a_code_must_be_scanned_again(portal: Portal, desk: Desk, stop_first: bool) -> None:
    await desk.start()
    await until(lambda: portal.find("session_ready"))
    if stop_first:
        await desk.stop()
    status, answer = await desk.stop(logout=True)
    assert (status, answer.get("alreadyDisconnected", False)) == (200, stop_first)
    await desk.start()
    await until(lambda: len(portal.find("session_ready")) == 2)
    assert portal.events()[3:] == ["qr_code_generated", "session_authenticated", "session_ready"]


async def test_a_stopped_session_says_nothing_more(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate={"scan_after": 0, "ready_after": 1})
    await until(lambda: portal.find("session_authenticated"))
    await desk.stop()
    await asyncio.sleep(1.3)
    assert portal.events()[-1] == "session_authenticated"


async def test_stopping_what_does_not_run_is_a_success(desk: Desk) -> None:
    status, answer = await desk.stop("nobody")
    assert (status, answer["success"], answer["alreadyDisconnected"]) == (200, True, True)


async def test_a_full_bridge_refuses_the_next_session(portal: Portal, tmp_path: Path) -> None:
    async with running(portal, tmp_path, capacity=2) as desk:
        answers = await asyncio.gather(*(desk.start(f"s{n}", simulate=SILENT) for n in range(5)))
        assert sorted(status for status, _ in answers) == [200, 200, 503, 503, 503]
        started = desk.bridge.registry.running()[0].session_id
        assert (await desk.start(started))[0] == 200
        await desk.stop(started)
        assert (await desk.start("another", simulate=SILENT))[0] == 200


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"session_id": "nobody"}, (404, "Session not found")),
        ({"message": ""}, (400, "Missing required fields")),
        ({"recipient_phone": None}, (400, "Missing required fields")),
        ({"recipient_phone": "+6281234567890"}, (400, "Invalid phone number format")),
        ({"recipient_phone": 6281234567890}, (400, "Invalid phone number format")),
        ({"recipient_phone": "120363000000000001@g.us"}, (400, "Invalid phone number format")),
        ({"type": "image"}, (400, "Only type text is supported")),
    ],
)
async def test_a_message_that_cannot_be_sent_is_refused(
    portal: Portal, desk: Desk, changes: dict[str, Any], expected: Any
) -> None:
    await desk.start(simulate=QUICK)
    await until(lambda: portal.find("session_ready"))
    order = {"session_id": SESSION, "recipient_phone": "6281234567890", "message": "x"} | changes
    status, answer = await desk.call("POST", "/api/messages/send", **order)
    assert (status, answer["error"]) == expected
    assert not portal.find("message_sent")


async def test_nothing_is_sent_by_a_session_that_is_not_connected(desk: Desk) -> None:
    await desk.start(simulate=SILENT)
    order = {"session_id": SESSION, "recipient_phone": "6281234567890", "message": "x"}
    status, answer = await desk.call("POST", "/api/messages/send", **order)
    assert (status, answer["error"]) == (400, "Session not connected. Please check session status.")


async def test_a_pairing_code_needs_a_session_that_waits_and_a_phone(portal: Portal, desk: Desk) -> None:
    path = f"/api/sessions/{SESSION}/pairing-code"
    assert (await desk.call("POST", path, phone_number="6281234567890"))[0] == 404
    await desk.start()
    assert (await desk.call("POST", path, phone_number="+62 812"))[0] == 400
    await until(lambda: portal.find("session_ready"))
    assert (await desk.call("POST", path, phone_number="6281234567890"))[0] == 400
