"""Whatever the bridge has answered for is delivered, wherever in the work the kill falls."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.support.bridge_world import ENDS_WITHIN, QUICK, Answer, Desk, Portal, desk_of, environment, process, until


@pytest.mark.parametrize("after", [0.05, 0.2, 0.4])
async def test_no_answered_message_is_lost_in_a_kill(portal: Portal, tmp_path: Path, after: float) -> None:
    env = environment(portal, tmp_path, LINKDESK_SIM_ACK_EVERY="0.01", LINKDESK_SIM_READY_AFTER="0")
    child = await process(env)
    desk = await desk_of(child)
    await asyncio.gather(*(desk.start(f"s{n}", account_id=n, simulate=QUICK) for n in range(4)))
    await until(lambda: len(portal.find("session_ready")) == 4)
    # Slow answers: the kill falls between what the portal has taken and what the bridge has removed.
    portal.answer = lambda webhook: Answer(delay=0.03)
    answered: list[str] = []
    talking = [asyncio.create_task(talk(desk, f"s{n}", answered)) for n in range(4)]
    await until(lambda: answered)  # a busy machine may need longer than `after` for the first one
    await asyncio.sleep(after)
    child.kill()
    await child.wait()
    await asyncio.gather(*talking)
    portal.answer = lambda webhook: Answer()
    child = await process(env)
    await desk_of(child)
    await until(lambda: set(answered) <= {hook.data["message"]["id"] for hook in portal.find("message_sent")})
    child.terminate()
    assert await asyncio.wait_for(child.wait(), ENDS_WITHIN) == 0
    assert answered
    for n in range(4):
        assert first_arrivals(portal, f"s{n}") == sorted(first_arrivals(portal, f"s{n}"))


async def talk(desk: Desk, session_id: str, answered: list[str]) -> None:
    order = {"session_id": session_id, "recipient_phone": "6281234567890", "message": "halo"}
    try:
        while True:
            _, answer = await desk.call("POST", "/api/messages/send", **order)
            answered.append(answer["message_id"])
    except aiohttp.ClientError:
        pass  # killed


def first_arrivals(portal: Portal, session_id: str) -> list[int]:
    """Sequence numbers in order of arrival, without repeats."""
    mine = (hook for hook in portal.accepted if hook.data["session_id"] == session_id)
    return list(dict.fromkeys(int(hook.headers["X-Bridge-Sequence"]) for hook in mine))
