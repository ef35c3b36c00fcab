"""Many who pair in one workspace at the same moment: each gets a pairing or a place in line."""

import threading
import time
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.db import locks
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Workspace
from tests.api.conftest import PHONE, program
from tests.support.links import READY, status_of
from tests.support.portal import Portal
from tests.support.races import at_once, tell

pytestmark = [pytest.mark.race, pytest.mark.timeout(300), pytest.mark.django_db(transaction=True)]
AT_ONCE = 60


def pair_all(workspace: Workspace, bodies: list[dict[str, str]]) -> list[Any]:
    return at_once([partial(program(workspace).post, "pair", **body) for body in bodies])


def test_sixty_with_numbers_all_get_a_pairing_or_a_place(workspace: Workspace, bridge: Bridge) -> None:
    answers = pair_all(workspace, [{"phone_number": f"62811000{number:05}"} for number in range(AT_ONCE)])
    assert [answer.status_code for answer in answers] == [201] * AT_ONCE, [answer.content for answer in answers]
    places = sorted(answer.json()["data"]["place"] for answer in answers)
    assert places == [0] * 5 + list(range(1, AT_ONCE - 4))
    assert (Account.objects.count(), LinkSession.objects.count()) == (AT_ONCE, AT_ONCE)
    assert BridgeOrder.objects.count() == 5


def test_sixty_that_share_twenty_numbers_make_twenty_accounts(workspace: Workspace, bridge: Bridge) -> None:
    answers = pair_all(workspace, [{"phone_number": f"62811000{number % 20:05}"} for number in range(AT_ONCE)])
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [429] * 40
    assert (Account.objects.count(), LinkSession.objects.count()) == (20, 20)


def test_one_that_must_wait_long_for_the_workspace_is_served_in_its_turn(workspace: Workspace, bridge: Bridge) -> None:
    """For longer than three tries of three seconds would last."""
    asks, is_held = program(workspace), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            locks.row(Workspace, pk=workspace.pk)
            is_held.set()
            time.sleep(8.5)

    def pair() -> int:
        is_held.wait(10)
        status: int = asks.post("pair", phone_number=PHONE).status_code
        return status

    assert at_once([hold, pair]) == [None, 201]


def test_the_patience_of_a_request_ends_with_it(workspace: Workspace, bridge: Bridge) -> None:
    """The connection may serve a bridge next."""
    reads = "SELECT @@innodb_lock_wait_timeout" if connection.vendor == "mysql" else "PRAGMA busy_timeout"

    def patience() -> int:
        with connection.cursor() as cursor:
            cursor.execute(reads)
            return int(cursor.fetchone()[0])

    before = patience()
    assert program(workspace).post("pair", phone_number=PHONE).status_code == 201
    Bridge.objects.update(draining=True)
    assert program(workspace).post("pair", phone_number="6281100000009").status_code == 503
    assert patience() == before


def test_a_scan_meanwhile_counts_at_once(
    workspace: Workspace, bridge: Bridge, portal: Portal, session: LinkSession
) -> None:
    """It is not left to the sweep of the next minute, though sixty others want the workspace's lock as well."""
    bodies = [{"phone_number": f"62811000{number:05}"} for number in range(AT_ONCE)]
    pairs = [partial(program(workspace).post, "pair", **body) for body in bodies]
    told, *answers = at_once([partial(ready_after, 0.3, portal, session), *pairs])
    assert told == "applied"
    assert status_of(session.account) == Status.CONNECTED
    assert {answer.status_code for answer in answers} == {201}


def test_a_scan_waits_in_its_turn_for_nearly_as_long_as_its_bridge(
    workspace: Workspace, bridge: Bridge, portal: Portal, session: LinkSession
) -> None:
    is_held = threading.Event()

    def hold() -> None:
        with transaction.atomic():
            locks.row(Workspace, pk=workspace.pk)
            is_held.set()
            time.sleep(6.5)

    def scan() -> str:
        is_held.wait(10)
        return ready_after(0, portal, session)

    assert at_once([hold, scan]) == [None, "applied"]
    assert status_of(session.account) == Status.CONNECTED


def ready_after(seconds: float, portal: Portal, session: LinkSession) -> str:
    time.sleep(seconds)
    return tell(portal, "session_ready", session, **READY)
