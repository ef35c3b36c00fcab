"""The page's socket: a snapshot on connect, each newer version, and the door that closes."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from channels.db import database_sync_to_async as in_thread
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.db import OperationalError
from django.utils import timezone

from accounts import snapshots
from accounts.broadcasts import group_of
from accounts.models import Account, Bridge, LinkInvitation, Workspace
from config.asgi import application
from linking import heartbeat, sockets
from linking import poller as poller_module
from linking.poller import Poller
from tests.linking.conftest import Phone, address_of

pytestmark = pytest.mark.django_db(transaction=True)
ORIGIN = [(b"origin", b"http://localhost"), (b"host", b"localhost")]


@pytest.fixture(autouse=True)
def poller(monkeypatch: pytest.MonkeyPatch) -> Poller:
    """One of its own for each test, for each has its own event loop."""
    quick = Poller(poll_every=0.05)
    monkeypatch.setattr(sockets, "poller", quick)
    return quick


@asynccontextmanager
async def opened(link: str, headers: Any = ORIGIN) -> AsyncIterator[WebsocketCommunicator]:
    socket = WebsocketCommunicator(application, f"/ws{link}", headers=headers)
    connected, _ = await socket.connect(timeout=5)
    assert connected
    try:
        yield socket
    finally:
        await socket.disconnect()


async def views_until(socket: WebsocketCommunicator, view: str) -> list[str]:
    views: list[str] = []
    while not views or views[-1] != view:
        views.append((await socket.receive_json_from(timeout=5))["view"])
    return views


async def close_code(socket: WebsocketCommunicator) -> int:
    while True:
        message = await socket.receive_output(timeout=5)
        if message["type"] == "websocket.close":
            return int(message["code"])


async def test_a_socket_is_told_at_once_and_at_each_change(link: str, phone: Phone) -> None:
    async with opened(link) as socket:
        first = await socket.receive_json_from(timeout=5)
        assert (first["view"], first["face"]) == ("idle", "idle")
        await in_thread(phone.begins)()
        await views_until(socket, "preparing")
        await in_thread(phone.sees_code)()
        await views_until(socket, "scan")
        await in_thread(phone.links)()
        await views_until(socket, "linked")


async def test_a_published_message_is_sooner_than_the_poll(
    link: str, phone: Phone, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "poller", Poller(poll_every=60))
    async with opened(link) as socket:
        await socket.receive_json_from(timeout=5)
        await in_thread(phone.begins)()
        message = {"type": "account.moved", "account": account.pk, "version": 3}
        await get_channel_layer().group_send(group_of(account.pk), message)
        await views_until(socket, "preparing")


async def test_one_snapshot_is_read_for_all_watchers(
    link: str, phone: Phone, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(link) as first, opened(await in_thread(address_of)(account)) as second:
        for socket in (first, second):
            await socket.receive_json_from(timeout=5)
        reads: list[int] = []
        take = snapshots.take

        def noted(pk: int) -> Any:
            reads.append(pk)
            return take(pk)

        monkeypatch.setattr(snapshots, "take", noted)
        await in_thread(phone.begins)()
        shown = [await socket.receive_json_from(timeout=5) for socket in (first, second)]
        while shown[0]["view"] != "preparing":
            shown = [await socket.receive_json_from(timeout=5) for socket in (first, second)]
        assert shown[0] == shown[1]
        assert len(reads) <= 2  # the start may be seen in two steps


@pytest.mark.parametrize("path", ["/link/nobody/", "/link/", "/elsewhere/"])
async def test_an_unknown_address_is_closed_with_4404(path: str) -> None:
    async with opened(path) as socket:
        assert await close_code(socket) == 4404


async def test_a_revoked_link_is_closed_with_4403(link: str) -> None:
    await in_thread(LinkInvitation.objects.update)(revoked_at=timezone.now())
    async with opened(link) as socket:
        assert await close_code(socket) == 4403


async def test_a_link_that_is_revoked_meanwhile_shows_nothing_more(link: str, phone: Phone) -> None:
    async with opened(link) as socket:
        await socket.receive_json_from(timeout=5)
        await in_thread(LinkInvitation.objects.update)(revoked_at=timezone.now())
        await in_thread(phone.begins)()
        assert (await socket.receive_output(timeout=5)) == {"type": "websocket.close", "code": 4403}


async def test_the_heartbeat_asks_again(link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT", 0.05)
    async with opened(link) as socket:
        while "heartbeat" not in await socket.receive_json_from(timeout=5):
            pass  # snapshots: the first one, and perhaps the poller's
        await in_thread(LinkInvitation.objects.update)(expires_at=timezone.now())
        assert await close_code(socket) == 4403


async def test_a_page_of_another_site_may_not_listen(link: str) -> None:
    foreign = [(b"origin", b"https://evil.example"), (b"host", b"localhost")]
    socket = WebsocketCommunicator(application, f"/ws{link}", headers=foreign)
    connected, _ = await socket.connect(timeout=5)
    assert not connected


async def test_the_watchers_of_a_merged_account_follow(link: str, phone: Phone, workspace: Workspace) -> None:
    create: Callable[..., Any] = in_thread(Account.objects.create)
    known = await create(workspace=workspace, phone_number="6281167328422")
    async with opened(link) as socket:
        before = await socket.receive_json_from(timeout=5)
        await in_thread(phone.begins)()
        await in_thread(phone.links)()
        message = before
        while message["view"] != "linked":
            assert message["version"] >= before["version"]
            before, message = message, await socket.receive_json_from(timeout=5)
        assert message["account"] == str(known.uuid)
        await in_thread(Phone(known).is_lost)()
        assert (await views_until(socket, "reconnecting"))[-1] == "reconnecting"


async def test_a_database_that_is_away_for_a_moment_stops_nothing(
    link: str, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(link) as socket:
        await socket.receive_json_from(timeout=5)
        versions, failures, is_back = poller_module._versions_now, iter(range(3)), threading.Event()

        def hiccup(ids: Any) -> Any:
            if next(failures, None) is not None:
                raise OperationalError("gone away")
            is_back.set()
            return versions(ids)

        monkeypatch.setattr(poller_module, "_versions_now", hiccup)
        assert await asyncio.to_thread(is_back.wait, 10)
        await in_thread(phone.begins)()
        await views_until(socket, "preparing")


async def test_a_channel_layer_that_fails_stops_nothing(
    link: str, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise ConnectionError("redis is away")

    for verb in ("new_channel", "group_add", "group_send"):
        monkeypatch.setattr(get_channel_layer(), verb, refuse)
    async with opened(link) as socket:
        await socket.receive_json_from(timeout=5)
        await in_thread(phone.begins)()
        await views_until(socket, "preparing")


async def test_the_poller_rests_when_nobody_watches(link: str, bridge: Bridge, poller: Poller) -> None:
    async with opened(link) as socket:
        await socket.receive_json_from(timeout=5)
        task = poller._task
        assert task is not None
    await asyncio.sleep(0.1)
    assert poller._task is None
    assert task.cancelled()
    assert not poller._watched


async def test_a_link_that_is_open_too_often_is_closed_and_its_page_asks_instead(
    link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller_module, "MOST_PER_LINK", 1)
    async with opened(link) as first:
        await first.receive_json_from(timeout=5)
        async with opened(link) as second:
            assert await close_code(second) == 4429
    async with opened(link) as again:
        assert (await again.receive_json_from(timeout=5))["view"] == "idle"


async def test_the_links_of_all_watchers_are_checked_by_one_query(
    link: str, phone: Phone, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = [link, *[await in_thread(address_of)(account) for _ in range(4)]]
    async with AsyncExitStack() as stack:
        open_pages = [await stack.enter_async_context(opened(each)) for each in links]
        for socket in open_pages:
            await socket.receive_json_from(timeout=5)
        asked: list[int] = []
        usable = LinkInvitation.objects.usable

        def noted() -> Any:
            asked.append(1)
            return usable()

        monkeypatch.setattr(LinkInvitation.objects, "usable", noted)
        await in_thread(phone.begins)()
        for socket in open_pages:
            await views_until(socket, "preparing")
        assert len(asked) <= 2  # the start may be seen in two steps


async def test_pages_of_a_merged_account_that_close_at_once_leave_nothing(
    link: str, phone: Phone, account: Account, workspace: Workspace, poller: Poller
) -> None:
    create: Callable[..., Any] = in_thread(Account.objects.create)
    known = await create(workspace=workspace, phone_number="6281167328422")
    async with AsyncExitStack() as stack:
        for each in (link, link, await in_thread(address_of)(account)):
            socket = await stack.enter_async_context(opened(each))
            await socket.receive_json_from(timeout=5)
        await in_thread(phone.begins)()
        await in_thread(phone.links)()
        await views_until(socket, "linked")
        async with asyncio.timeout(5):
            while set(poller._watched) != {known.pk}:  # they are told first, and follow then
                await asyncio.sleep(0.01)
        pages = list(poller._watches)
        await asyncio.gather(*map(poller.unwatch, pages), *map(poller.unwatch, pages))
        assert (poller._watched, poller._watches, poller._open) == ({}, {}, {})


def test_heartbeats_are_spread_evenly_and_a_new_page_has_its_first_one_late() -> None:
    beat = heartbeat.Heartbeat()
    pages = [sockets.PageSocket(number, None) for number in range(3 * heartbeat.TURNS)]  # type: ignore[arg-type]
    beat.add(pages[0])
    assert pages[0] in beat._turns[-1]
    for page in pages[1:]:
        beat.add(page)
    assert {len(turn) for turn in beat._turns} == {3}
    for page in pages:
        beat.remove(page)
    assert not any(beat._turns)
