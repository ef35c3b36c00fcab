"""A secret that was just added holds at once, and no flood of wrong signatures makes us read them again and again."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Bridge, BridgeSecret, LinkSession
from tests.support.portal import Portal, make_bridge
from tests.support.refusals import assert_refused, body, post
from tests.support.signing import signed_headers, signed_headers_2
from webhooks import authentication

__all__ = ["body"]

ACTIVE = "/api/whatsapp/accounts/active"


@pytest.fixture(autouse=True)
def _no_limit_of_failures(settings: Any) -> None:
    settings.LINKDESK_LIMIT_STRANGERS = 1_000_000


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the process's clock forward."""
    real, ahead = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + ahead[0])

    def pass_by(seconds: float) -> None:
        ahead[0] += seconds

    return pass_by


class Reads:
    """How often the table of secrets was read (`values`), and asked whether there is another (`looks`)."""

    values = 0
    looks = 0


@contextmanager
def counted() -> Iterator[Reads]:
    reads = Reads()
    with CaptureQueriesContext(connection) as queries:
        yield reads
    table = [query["sql"].lower() for query in queries if "bridgesecret" in query["sql"].lower()]
    reads.looks = sum("count(" in sql for sql in table)
    reads.values = len(table) - reads.looks


class TestAnAddedSecretHolds:
    def test_at_the_first_event_of_a_new_bridge(self, portal: Portal, session: LinkSession) -> None:
        portal.post("session_reconnected", session)  # the secrets are read
        make_bridge("beta")
        assert Portal("beta-hmac").post("session_reconnected", session).json()["outcome"] == "unknown_session"

    def test_by_version_2(self, portal: Portal, session: LinkSession, body: dict[str, Any]) -> None:
        portal.post("session_reconnected", session)
        make_bridge("beta")
        assert post(*signed_headers_2("beta-hmac", body, event_id="e")).status_code == 200

    def test_as_a_key(self, bridge: Bridge, client: Client) -> None:
        assert client.get(ACTIVE, headers={"X-API-Key": "alpha-key"}).status_code == 200
        make_bridge("beta")
        assert client.get(ACTIVE, headers={"X-API-Key": "beta-key"}).status_code == 200

    def test_that_is_the_second_of_its_bridge(self, portal: Portal, bridge: Bridge, session: LinkSession) -> None:
        portal.post("session_reconnected", session)
        bridge.credentials.create(kind="hmac", value="newer")
        assert Portal("newer").post("session_reconnected", session).status_code == 200

    def test_where_another_was_retired_at_the_same_time(
        self, portal: Portal, bridge: Bridge, session: LinkSession
    ) -> None:
        portal.post("session_reconnected", session)
        bridge.credentials.get(kind="hmac").retire()
        bridge.credentials.create(kind="hmac", value="newer")
        assert Portal("newer").post("session_reconnected", session).status_code == 200
        assert_refused(Portal("alpha-hmac").post("session_reconnected", session), 401, "INVALID_SIGNATURE")

    def test_beside_one_that_cannot_be_decrypted(self, portal: Portal, bridge: Bridge, session: LinkSession) -> None:
        portal.post("session_reconnected", session)
        bad = bridge.credentials.create(kind="hmac", value="bad")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE accounts_bridgesecret SET value = 'nonsense' WHERE id = %s", [bad.pk])
        make_bridge("beta")
        for secret in ("beta-hmac", "alpha-hmac"):
            assert Portal(secret).post("session_reconnected", session).status_code == 200

    def test_a_second_after_somebody_was_refused(
        self, portal: Portal, session: LinkSession, later: Callable[[float], None]
    ) -> None:
        assert Portal("nobody").post("session_reconnected", session).status_code == 401
        make_bridge("beta")
        later(1)
        assert Portal("beta-hmac").post("session_reconnected", session).status_code == 200


class TestWithinASecondOfSomebodyWhoWasRefused:
    """A stranger must not cost a new bridge its first event, which a Node bridge sends once."""

    @pytest.mark.parametrize("strangers", [1, 2])
    def test_the_first_event_of_a_new_bridge_waits_for_the_next_look(
        self, portal: Portal, session: LinkSession, strangers: int
    ) -> None:
        portal.post("session_reconnected", session)
        for _ in range(strangers):
            assert Portal("nobody").post("session_reconnected", session).status_code == 401
        make_bridge("beta")
        began = time.monotonic()
        assert Portal("beta-hmac").post("session_reconnected", session).status_code == 200
        assert time.monotonic() - began < 1.5

    def test_so_does_its_key(self, bridge: Bridge, client: Client) -> None:
        assert client.get(ACTIVE, headers={"X-API-Key": "nobodys"}).status_code == 401
        make_bridge("beta")
        assert client.get(ACTIVE, headers={"X-API-Key": "beta-key"}).status_code == 200

    def test_many_strangers_wait_only_now_and_then(self, portal: Portal, session: LinkSession) -> None:
        portal.post("session_reconnected", session)
        began = time.monotonic()
        for _ in range(100):
            assert Portal("nobody").post("session_reconnected", session).status_code == 401
        assert time.monotonic() - began < 6

    def test_where_too_many_wait_it_is_to_be_sent_again(
        self, portal: Portal, session: LinkSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        portal.post("session_reconnected", session)
        monkeypatch.setattr(authentication, "_waiting", threading.BoundedSemaphore(1))
        with authentication._waiting:
            answer = Portal("nobody").post("session_reconnected", session)
            assert_refused(answer, 429, "BUSY")
            assert answer.headers["Retry-After"]
            assert portal.post("session_reconnected", session).status_code == 200  # who is known does not wait
        assert Portal("nobody").post("session_reconnected", session).status_code == 401


class TestWhatItCosts:
    @pytest.mark.parametrize("warm", [True, False])
    def test_a_thousand_wrong_signatures_read_the_secrets_once(
        self, portal: Portal, session: LinkSession, warm: bool
    ) -> None:
        if warm:
            portal.post("session_reconnected", session)
        began = time.monotonic()
        with counted() as reads:
            for number in range(1_000):
                wrong = signed_headers(f"wrong-{number}", b"{}")
                assert post(*wrong).status_code == 401
        seconds = time.monotonic() - began
        assert reads.values <= 2 + seconds // 10  # they are read anew every ten seconds anyhow
        assert reads.looks <= 1 + seconds

    def test_a_thousand_wrong_keys_and_signatures_with_one_that_was_added_in_between(
        self, portal: Portal, session: LinkSession, client: Client, later: Callable[[float], None]
    ) -> None:
        portal.post("session_reconnected", session)
        with counted() as reads:
            for number in range(500):
                if number == 250:
                    make_bridge("beta")
                    later(1)
                assert client.get(ACTIVE, headers={"X-API-Key": f"wrong-{number}"}).status_code == 401
                assert post(*signed_headers(f"wrong-{number}", b"{}")).status_code == 401
        inserted = 2
        assert reads.values - inserted <= 2

    def test_while_nothing_was_added_a_look_reads_no_secret(
        self, portal: Portal, session: LinkSession, later: Callable[[float], None]
    ) -> None:
        portal.post("session_reconnected", session)
        with counted() as reads:
            for _ in range(5):
                later(1.01)
                assert Portal("nobody").post("session_reconnected", session).status_code == 401
        assert (reads.values, reads.looks) == (0, 5)

    def test_what_fits_looks_for_nothing(self, portal: Portal, session: LinkSession) -> None:
        portal.post("session_reconnected", session)
        with counted() as reads:
            for _ in range(5):
                assert portal.post("session_reconnected", session).status_code == 200
        assert (reads.values, reads.looks) == (0, 0)


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
class TestTogether:
    def test_the_first_events_of_a_new_bridge(self, portal: Portal, session: LinkSession) -> None:
        """One of them looks; the others wait for it instead of being refused."""
        portal.post("session_reconnected", session)
        make_bridge("beta")
        answers, _ = self.send("beta-hmac", times=8)
        assert 401 not in answers
        assert BridgeSecret.objects.count() == 4

    def test_wrong_signatures_at_a_process_that_has_just_started(self, bridge: Bridge) -> None:
        began = time.monotonic()
        answers, reads = self.send("nobody", times=200)
        assert set(answers) == {401}
        assert sum("count(" not in sql for sql in reads) == 1
        assert sum("count(" in sql for sql in reads) <= 1 + time.monotonic() - began

    def send(self, secret: str, *, times: int) -> tuple[list[int], list[str]]:
        """Eight at a time. Gives the answers, and what was asked of the table of secrets."""
        asked: list[str] = []

        def note(execute: Any, sql: str, *rest: Any) -> Any:
            if "bridgesecret" in sql.lower():
                asked.append(sql.lower())
            return execute(sql, *rest)

        def one(number: int) -> int:
            raw, headers = signed_headers(secret, {"event": "session_ready", "data": {"session_id": f"x{number}"}})
            try:
                with connection.execute_wrapper(note):
                    return int(post(raw, headers).status_code)
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(one, range(times))), asked

    def test_the_first_events_of_a_new_bridge_right_after_a_stranger(
        self, portal: Portal, session: LinkSession
    ) -> None:
        portal.post("session_reconnected", session)
        assert Portal("nobody").post("session_reconnected", session).status_code == 401
        make_bridge("beta")
        answers, reads = self.send("beta-hmac", times=16)
        assert 401 not in answers
        assert sum("count(" in sql for sql in reads) == 1
