"""Each knob of the simulated phone."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from bridge.engines.simulated_knobs import Knobs, from_environ
from bridge.engines.simulated_phone import derived_phone
from bridge.errors import ConfigurationError
from tests.support.bridge_world import QUICK, SESSION, SILENT, Desk, Portal, running, until


def counts(portal: Portal) -> list[int]:
    return [webhook.data["qr_count"] for webhook in portal.find("qr_code_generated")]


async def test_codes_follow_each_other_and_differ(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=SILENT | {"qr_every": 0.05})
    await until(lambda: len(portal.accepted) >= 3)
    texts = [webhook.data["qr_text"] for webhook in portal.accepted]
    assert len(set(texts)) == len(texts)
    assert counts(portal) == sorted(counts(portal))
    assert not portal.find("session_authenticated")


async def test_the_scan_comes_when_told(portal: Portal, desk: Desk) -> None:
    begun = time.time()
    await desk.start(simulate=QUICK | {"scan_after": 0.6, "qr_every": 0.1})
    await until(lambda: portal.find("session_ready"))
    assert 0.5 < portal.find("session_authenticated")[0].at - begun < 5
    assert len(portal.find("qr_code_generated")) >= 2


async def test_a_phone_that_is_never_ready(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate={"scan_after": 0, "ready_after": -1})
    await until(lambda: portal.find("session_authenticated"))
    await asyncio.sleep(0.2)
    assert not portal.find("session_ready")
    assert (await desk.status())[1]["status"] == "authenticated"


async def test_the_phone_number_is_as_told_or_always_the_same(portal: Portal, desk: Desk) -> None:
    await desk.start("told", simulate=QUICK | {"phone": "6281999888777"})
    await desk.start("derived", account_id=11)
    await until(lambda: len(portal.find("session_ready")) == 2)
    phones = {hook.data["session_id"]: hook.data["phone_number"] for hook in portal.find("session_ready")}
    assert phones == {"told": "6281999888777", "derived": derived_phone(11)}
    assert derived_phone(11) == derived_phone("11") != derived_phone(12)


async def test_a_phone_that_does_not_tell_its_number(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"phone": ""})
    await until(lambda: portal.find("session_error"))
    assert portal.find("session_error")[0].data["error"] == "phone_extraction_failed"
    assert not portal.find("session_ready")
    assert (await desk.status())[1]["status"] == "error"


async def test_a_logout_on_the_phone_shows_codes_for_ever(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"logout_after": 0.1, "qr_every": 0.05})
    await until(lambda: portal.find("session_disconnected"))
    await until(lambda: len(portal.find("qr_code_generated")) >= 4)
    assert portal.find("session_disconnected")[0].data["reason"] == "LOGOUT"
    assert portal.events().index("session_disconnected") == 3
    assert set(portal.events()[4:]) == {"qr_code_generated"}
    assert counts(portal)[0] == 1
    assert counts(portal) == sorted(set(counts(portal)))  # a newer one takes the place of one still unsent
    _, answer = await desk.status()
    assert answer["status"] == "qr_scanning"
    assert answer["phone_number"]


async def test_a_technical_drop_heals_itself_and_does_not_lie(portal: Portal, desk: Desk) -> None:
    simulate = QUICK | {"disconnect_after": 0.05, "disconnect_reason": "CONFLICT", "reconnect_after": 1.5}
    await desk.start(simulate=simulate)
    await until(lambda: portal.find("session_disconnected"))
    assert (await desk.status())[1]["status"] == "disconnected"
    await until(lambda: len(portal.find("session_ready")) == 2)
    assert portal.events()[2:] == [
        "session_ready",
        "session_disconnected",
        "session_authenticated",
        "session_ready",
    ]
    assert portal.find("session_disconnected")[0].data["reason"] == "CONFLICT"
    assert (await desk.status())[1]["status"] == "connected"


async def test_a_drop_without_a_reason_names_none(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"disconnect_after": 0, "disconnect_reason": "", "reconnect_after": -1})
    await until(lambda: portal.find("session_disconnected"))
    assert "reason" not in portal.find("session_disconnected")[0].data


@pytest.mark.parametrize("path", ["/api/sessions", f"/api/sessions/{SESSION}/reconnect"])
async def test_one_that_stays_down_comes_back_by_order(portal: Portal, desk: Desk, path: str) -> None:
    await desk.start(simulate=QUICK | {"disconnect_after": 0.05, "reconnect_after": -1})
    await until(lambda: portal.find("session_disconnected"))
    status, answer = await desk.call("POST", path, session_id=SESSION, workspace_id=1, account_id=11)
    assert (status, answer["status"]) == (200, "qr_scanning")
    await until(lambda: len(portal.find("session_ready")) == 2)
    assert portal.events()[4:6] == ["session_authenticated", "session_ready"]


async def test_a_code_nobody_scans_can_expire(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=SILENT | {"expire_after": 0.1})
    await until(lambda: portal.find("session_expired"))
    assert portal.find("session_expired")[0].data["reason"] == "qr_not_scanned"
    assert (await desk.status())[0] == 404
    assert (await desk.start())[0] == 200
    await until(lambda: portal.find("session_ready"))


async def test_a_message_can_be_edited_and_taken_back(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"edit_after": 0.05, "revoke_after": 0.05})
    await until(lambda: portal.find("session_ready"))
    order = {"session_id": SESSION, "recipient_phone": "6281234567890", "message": "halo", "type": "text"}
    _, answer = await desk.call("POST", "/api/messages/send", **order)
    await until(lambda: portal.find("message_revoked"))
    edited, revoked = portal.find("message_edited")[0].data, portal.find("message_revoked")[0].data
    assert (edited["message_id"], edited["body"]) == (answer["message_id"], "halo (edited)")
    assert revoked["message_id"] == answer["message_id"]
    assert edited["timestamp"] < revoked["timestamp"]


async def test_events_can_come_twice(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"duplicate_events": True})
    await until(lambda: len(portal.find("session_ready")) == 2)
    ready = portal.find("session_ready")
    assert ready[0].raw == ready[1].raw
    assert ready[0].headers["X-Event-Id"] != ready[1].headers["X-Event-Id"]


async def test_the_last_code_can_come_after_the_login(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"shuffle": True, "ready_after": 0.1})
    await until(lambda: portal.find("session_ready"))
    assert portal.events() == [
        "qr_code_generated",
        "session_authenticated",
        "qr_code_generated",
        "session_ready",
    ]
    assert (await desk.status())[1]["status"] == "connected"


async def test_the_phone_can_ask_for_more(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"action_required": True})
    await until(lambda: portal.find("session_action_required"))
    asked = portal.find("session_action_required")[0].data
    assert asked["kind"] == "passkey"
    assert asked["message"]
    await until(lambda: portal.find("session_ready"))


@pytest.mark.parametrize(
    "simulate",
    [
        {"scan_afer": 1},
        {"scan_after": "1"},
        {"scan_after": True},
        {"shuffle": 1},
        {"phone": "+62"},
        {"qr_every": 0},
        {"disconnect_reason": None},
        [],
    ],
)
async def test_an_unknown_or_impossible_knob_is_refused(desk: Desk, simulate: dict[str, Any]) -> None:
    status, answer = await desk.start(simulate=simulate)
    assert status == 400
    assert "simulate" in answer["error"]
    assert desk.bridge.registry.running() == []


async def test_knobs_from_the_environment_hold_for_all_and_yield_to_the_sessions_own(
    portal: Portal, tmp_path: Path
) -> None:
    environ = {"LINKDESK_SIM_SCAN_AFTER": "0", "LINKDESK_SIM_READY_AFTER": "0", "LINKDESK_SIM_PHONE": ""}
    async with running(portal, tmp_path, environ=environ) as desk:
        await desk.start("silent", simulate={})
        await desk.start("telling", simulate={"phone": "6281999888777"})
        await until(lambda: portal.find("session_error") and portal.find("session_ready"))
    assert portal.find("session_error")[0].data["session_id"] == "silent"
    assert portal.find("session_ready")[0].data["session_id"] == "telling"


def test_an_environment_that_makes_no_sense_is_refused() -> None:
    assert from_environ({}) == Knobs()
    assert from_environ({"LINKDESK_SIM_SHUFFLE": "true"}).shuffle
    for name, word in [
        ("SCAN_AFTER", "soon"),
        ("SHUFFLE", "maybe"),
        ("QR_EVERY", "0"),
        ("SCAN_AFTER", "inf"),
    ]:
        with pytest.raises(ConfigurationError, match="LINKDESK_SIM_"):
            from_environ({f"LINKDESK_SIM_{name}": word})


async def test_a_phone_that_breaks_is_shown_as_down_and_can_be_started_again(
    portal: Portal, desk: Desk, tmp_path: Path
) -> None:
    login = tmp_path / "simulated" / SESSION / "login.json"
    login.parent.mkdir()
    login.write_text("{")
    await desk.start()
    await until(lambda: portal.find("session_disconnected"))
    assert (await desk.status())[1]["status"] == "disconnected"
    login.unlink()
    await desk.start()
    await until(lambda: portal.find("session_ready"))
