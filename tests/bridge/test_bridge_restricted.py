"""What WhatsApp restricts on a connected phone: the portal is told, and a message to somebody else is refused."""

import asyncio
from typing import Any

from tests.support.bridge_world import QUICK, SESSION, Desk, Portal, until

TO = "6281234567890"


async def send(desk: Desk, to: str = TO) -> tuple[int, Any]:
    order = {"session_id": SESSION, "recipient_phone": to, "message": "hello", "type": "text"}
    status, answer = await desk.call("POST", "/api/messages/send", **order)
    return status, answer


async def test_a_time_lock_is_told_with_its_end_and_so_is_that_it_is_over(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"restrict_after": 0.05, "restrict_for": 0.3})
    await until(lambda: len(portal.find("session_restricted")) == 2)
    begun, over = portal.find("session_restricted")
    assert (begun.data["kind"], begun.data["active"]) == ("time_lock", True)
    assert begun.data["until"] > begun.at - 5
    assert (over.data["kind"], over.data["active"]) == ("time_lock", False)
    assert (await desk.status())[1]["status"] == "connected"
    assert not portal.find("session_disconnected")


async def test_one_without_an_end_names_none(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"restrict_after": 0, "restrict_for": -1})
    await until(lambda: portal.find("session_restricted"))
    assert "until" not in portal.find("session_restricted")[0].data
    await asyncio.sleep(0.2)
    assert len(portal.find("session_restricted")) == 1


async def test_a_message_to_others_is_refused_with_463_and_told(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"restrict_after": 0, "restrict_for": 60, "phone": "6281999888777"})
    await until(lambda: portal.find("session_restricted"))
    status, answer = await send(desk)
    assert (status, answer["error"][:4]) == (500, "463:")
    await until(lambda: len(portal.find("session_restricted")) == 2)
    told = portal.find("session_restricted")[1].data
    assert (told["kind"], told["code"], told["active"]) == ("send_refused", 463, True)
    assert (await send(desk, "6281999888777"))[0] == 200  # to itself
    assert (await desk.status())[1]["status"] == "connected"


async def test_when_it_is_over_messages_go_again(portal: Portal, desk: Desk) -> None:
    await desk.start(simulate=QUICK | {"restrict_after": 0, "restrict_for": 0.1})
    await until(lambda: len(portal.find("session_restricted")) == 2)
    assert (await send(desk))[0] == 200
