"""A heartbeat that was here before, or was overtaken by a later one, moves nothing; nor does the bridge's clock."""

import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.bridges import presence
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeProcess, LinkSession, ReconcileRun
from tests.support.links import move_back, status_of
from tests.support.lists import SAID, beat, linked
from tests.support.portal import make_bridge
from tests.support.races import at_once
from tests.support.refusals import assert_refused
from tests.support.signing import signed_headers, signed_headers_2

__all__ = ["linked"]

URL = "/api/whatsapp/bridges/heartbeat"
Request = tuple[bytes, dict[str, str]]


def heartbeat(
    *listed: tuple[str, str], number: int | str = 1, boot: str = "boot-a", header: str = "", **more: Any
) -> Request:
    """Signed by version 2; `header` is the boot in the header where it is another one."""
    sessions = [{"session_id": session_id, "status": status} for session_id, status in listed]
    said = SAID | {"sessions": sessions} | ({"boot": boot} if boot else {})
    secret = more.pop("secret", "alpha-hmac")
    return signed_headers_2(secret, said, path=URL, boot=header or boot, sequence=number, **more)


def send(request: Request) -> Any:
    raw, headers = request
    return Client(raise_request_exception=False).post(URL, raw, "application/json", headers=headers)


def settle(session: LinkSession) -> None:
    """As if a minute had passed: a list says nothing of a status that has just changed."""
    move_back(session, 60)
    LinkSession.objects.update(last_seen_at=None)


def status(answer: Any) -> int:
    return int(answer.status_code)


class TestReplays:
    def test_one_that_was_here_before_moves_nothing(self, linked: LinkSession, account: Account) -> None:
        lost = heartbeat((linked.session_id, "disconnected"), number=1)
        assert status(send(lost)) == 200
        assert status_of(account) == Status.DISCONNECTED
        settle(linked)
        assert status(send(heartbeat((linked.session_id, "connected"), number=2))) == 200
        assert status_of(account) == Status.CONNECTED
        settle(linked)
        runs = ReconcileRun.objects.count()
        assert_refused(send(lost), 409, "STALE_HEARTBEAT")
        assert status_of(account) == Status.CONNECTED
        assert ReconcileRun.objects.count() == runs

    def test_one_that_a_later_one_overtook(self, linked: LinkSession, account: Account) -> None:
        assert status(send(heartbeat((linked.session_id, "connected"), number=8))) == 200
        late = heartbeat((linked.session_id, "disconnected"), number=7)
        assert_refused(send(late), 409, "STALE_HEARTBEAT")
        assert status_of(account) == Status.CONNECTED

    @pytest.mark.parametrize("forged", ["2", "99", "01"])
    def test_one_with_another_number(self, linked: LinkSession, forged: str) -> None:
        raw, headers = heartbeat((linked.session_id, "disconnected"), number=1)
        send((raw, headers))
        assert_refused(send((raw, headers | {"X-Bridge-Sequence": forged})), 401, "INVALID_SIGNATURE")

    def test_one_with_the_boot_of_another_process(self, linked: LinkSession) -> None:
        raw, headers = heartbeat((linked.session_id, "disconnected"), number=1)
        assert_refused(send((raw, headers | {"X-Bridge-Boot": "boot-b"})), 401, "INVALID_SIGNATURE")

    def test_one_of_the_process_before(self, linked: LinkSession, account: Account) -> None:
        before = heartbeat((linked.session_id, "disconnected"), number=500)
        send(before)
        settle(linked)
        assert status(send(heartbeat((linked.session_id, "connected"), number=1, boot="boot-b"))) == 200
        settle(linked)
        assert_refused(send(before), 409, "STALE_HEARTBEAT")
        assert status_of(account) == Status.CONNECTED

    def test_one_that_was_sent_to_another_path(self, linked: LinkSession) -> None:
        raw, headers = heartbeat((linked.session_id, "connected"))
        answer = Client().post("/api/whatsapp/chats/sync", raw, "application/json", headers=headers)
        assert_refused(answer, 401, "INVALID_SIGNATURE")

    def test_another_bridge_counts_for_itself(self, linked: LinkSession) -> None:
        make_bridge("beta")
        assert status(send(heartbeat(number=9))) == 200
        assert status(send(heartbeat(number=1, secret="beta-hmac"))) == 200
        assert sorted(BridgeProcess.objects.values_list("boot", "heartbeat_sequence")) == [("boot-a", 1), ("boot-a", 9)]

    def test_a_refused_one_leaves_the_number_as_it_was(self, bridge: Bridge) -> None:
        send(heartbeat(number=5))
        send(heartbeat(number=3))
        assert status(send(heartbeat(number=6))) == 200

    def test_what_is_no_list_takes_no_number(self, bridge: Bridge) -> None:
        raw, headers = signed_headers_2("alpha-hmac", {"boot": "boot-a"}, path=URL, boot="boot-a", sequence=5)
        assert_refused(send((raw, headers)), 400, "INVALID_FIELD")
        assert status(send(heartbeat(number=5))) == 200


class TestByVersion1:
    """Which covers no header."""

    def send(self, number: int | None, *, at: int, session: LinkSession, word: str = "disconnected") -> Any:
        said = SAID | {"sessions": [{"session_id": session.session_id, "status": word}], "boot": "boot-a"}
        raw, headers = signed_headers("alpha-hmac", said, at=at)
        return send((raw, headers | ({} if number is None else {"X-Bridge-Sequence": str(number)})))

    @pytest.mark.parametrize("forged", [None, 5, 6, 0, 99, 10**17])
    def test_the_very_same_is_a_replay_whatever_its_headers_say(
        self, linked: LinkSession, account: Account, forged: int | None
    ) -> None:
        now = int(time.time())
        assert status(self.send(5, at=now, session=linked)) == 200
        settle(linked)
        assert status(self.send(6, at=now, session=linked, word="connected")) == 200
        settle(linked)
        assert_refused(self.send(forged, at=now, session=linked), 409, "STALE_HEARTBEAT")
        assert status_of(account) == Status.CONNECTED

    def test_a_raised_number_does_not_silence_the_process(self, linked: LinkSession) -> None:
        now = int(time.time())
        for number in (5, 10**17, None):
            self.send(number, at=now, session=linked)
        assert status(self.send(6, at=now + 1, session=linked)) == 200

    def test_a_process_that_numbers_them_never_sends_one_without(self, linked: LinkSession) -> None:
        now = int(time.time())
        assert status(self.send(5, at=now, session=linked)) == 200
        assert_refused(self.send(None, at=now + 1, session=linked), 409, "STALE_HEARTBEAT")
        assert status(self.send(6, at=now + 1, session=linked, word="connected")) == 200

    @pytest.mark.parametrize("later", [3, 30, 299])
    @pytest.mark.parametrize("forged", [None, 1, 10**17])
    def test_one_without_a_number_is_a_replay_when_it_comes_later(
        self, linked: LinkSession, later: int, forged: int | None, time_machine: Any
    ) -> None:
        now = int(time.time())
        time_machine.move_to(now)
        assert [status(self.send(None, at=now, session=linked)) for _ in range(2)] == [200, 200]
        time_machine.move_to(now + later)
        assert_refused(self.send(forged, at=now, session=linked), 409, "STALE_HEARTBEAT")
        assert status(self.send(None, at=now + later, session=linked)) == 200

    def test_what_was_refused_does_not_make_a_dead_bridge_heard(self, linked: LinkSession, bridge: Bridge) -> None:
        now = int(time.time())
        self.send(5, at=now, session=linked)
        died_at = timezone.now() - timedelta(minutes=5)
        for number in (5, 10**17, None):
            Bridge.objects.update(last_heard_at=died_at)
            presence._heard.clear()
            assert status(self.send(number, at=now, session=linked)) == 409
            bridge.refresh_from_db()
            assert bridge.last_heard_at == died_at


class TestWhatItMustSay:
    @pytest.mark.parametrize(
        "values",
        [
            {"number": ""},
            {"boot": ""},
            {"number": "", "boot": ""},
            {"header": "boot-b"},
            {"boot": "", "header": "boot-b"},
            {"number": "x"},
            {"number": "-1"},
            {"number": "1.0"},
            {"number": "9" * 19},
        ],
        ids=str,
    )
    def test_by_version_2_its_process_and_its_number(self, bridge: Bridge, values: dict[str, Any]) -> None:
        assert_refused(send(heartbeat(**values)), 400, "INVALID_HEADER")
        bridge.refresh_from_db()
        assert bridge.last_heartbeat_at is None

    def test_by_version_1_it_may_say_neither(self, bridge: Bridge) -> None:
        assert [status(beat(boot="boot-a")) for _ in range(2)] == [200, 200]

    @pytest.mark.parametrize("credential", [{"X-API-Key": "alpha-key"}])
    def test_with_a_key_the_number_counts_where_there_is_one(self, bridge: Bridge, credential: dict[str, str]) -> None:
        def tell(number: int) -> int:
            said = SAID | {"sessions": [], "boot": "boot-a"}
            headers = credential | {"X-Bridge-Sequence": str(number)}
            return status(Client().post(URL, said, "application/json", headers=headers))

        assert [tell(number) for number in (3, 3, 2, 4)] == [200, 409, 409, 200]


@pytest.mark.parametrize("off", [-290, 0, 290])
def test_the_bridges_clock_is_never_the_time_of_its_list(linked: LinkSession, account: Account, off: int) -> None:
    """It is as of when it came: a clock that is behind makes it no older, and one that is ahead no newer."""
    LinkSession.objects.update(last_seen_at=None)
    listed = heartbeat((linked.session_id, "disconnected"), at=int(time.time()) + off)
    assert status(send(listed)) == 200
    assert status_of(account) == Status.DISCONNECTED
    account.refresh_from_db()
    assert abs(account.status_changed_at.timestamp() - time.time()) < 20


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_of_many_copies_at_once_one_is_heard(bridge: Bridge) -> None:
    request = heartbeat(number=1)

    def tell() -> int:
        try:
            return status(send(request))
        finally:
            connection.close()

    answers = at_once([partial(tell)] * 8)
    assert answers.count(200) == 1
    assert set(answers) <= {200, 409, 503}
    assert BridgeProcess.objects.get().heartbeat_sequence == 1
