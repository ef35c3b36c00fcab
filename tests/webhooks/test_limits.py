"""Budgets: exact under threads, fair between kinds of events, and kind to bridges when Redis is away."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession, Workspace
from accounts.pairing import attempts
from accounts.pairing.attempts import May
from api.http import rate_limit
from api.http.errors import ApiError
from api.http.rate_limit import Budget, spend
from api.models import RateLimitCount
from tests.support import ROOT
from tests.support.portal import PHONE, Portal, make_bridge
from webhooks.models import UnmatchedTraffic

QR = {"qr_text": "2@abc", "expires_in": 60}


def chat(number: int) -> dict[str, Any]:
    return {"id": f"false_62811@c.us_{number}", "body": "halo", "timestamp": 1795173042}


def closing(work: Callable[[], None]) -> Callable[[], None]:
    """A thread has a database connection of its own, and must not leave it open."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    return run


class TestExactness:
    @pytest.mark.race
    @pytest.mark.django_db(transaction=True)
    def test_of_32_threads_against_100_exactly_100_pass(self) -> None:
        passed, lock = [], threading.Lock()

        def ask() -> None:
            for _ in range(10):
                try:
                    spend(Budget("test", "threads", 100))
                except ApiError:
                    continue
                with lock:
                    passed.append(1)

        threads = [threading.Thread(target=closing(ask)) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(passed) == 100
        assert RateLimitCount.objects.get(owner="threads").count == 220

    def test_a_refusal_says_when_to_come_back(self, db: None) -> None:
        spend(Budget("test", "one", 1))
        with pytest.raises(ApiError) as refused:
            spend(Budget("test", "one", 1))
        assert refused.value.status_code == 429
        assert 1 <= (refused.value.retry_after or 0) <= 60


class TestEvents:
    def test_a_flood_of_messages_starves_no_lifecycle_event(
        self, portal: Portal, settings: Any, account: Account, session: LinkSession
    ) -> None:
        settings.LINKDESK_LIMIT_MESSAGES = 20
        answers = [portal.post("message_received", session, message=chat(n)).status_code for n in range(100)]
        assert answers.count(200) == 20
        assert answers.count(429) == 80
        for _ in range(30):
            assert portal.post("session_authenticated", session).status_code == 200
        assert portal.post("session_ready", session, phone_number=PHONE).status_code == 200
        refused = RateLimitCount.objects.get(name="messages")
        assert (refused.owner, refused.count) == (f"workspace {account.workspace_id}", 80)

    def test_the_answer_carries_retry_after_and_a_reason(
        self, portal: Portal, workspace: Workspace, session: LinkSession
    ) -> None:
        workspace.qr_per_minute = 1
        workspace.save()
        portal.post("qr_code_generated", session, **QR)
        answer = portal.post("qr_code_generated", session, **QR)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) == answer.json()["error"]["retry_after"]
        assert answer.json()["error"]["code"] == "RATE_LIMITED"

    def test_twenty_zombies_leave_a_live_pairing_untouched(
        self, portal: Portal, settings: Any, account: Account, session: LinkSession
    ) -> None:
        settings.LINKDESK_LIMIT_OTHERS = 50
        Bridge.objects.update(pairings_at_once=1000)  # none of them waits in line
        zombies = []
        for _ in range(20):
            zombies.append(session)
            session = attempts.start(account.pk, trigger="test", may=May.RENEW)
            attempts.force_reset(account.pk)
            session = attempts.start(account.pk, trigger="test")
        answers = [portal.post("qr_code_generated", zombie, **QR).status_code for zombie in zombies * 5]
        assert 429 in answers
        assert portal.post("qr_code_generated", session, **QR).json()["outcome"] == "applied"

    @pytest.mark.slow
    def test_a_whole_installation_restored_at_once_meets_no_429(
        self, portal: Portal, settings: Any, workspace: Workspace, bridge: Bridge
    ) -> None:
        """A tenth of 3,000 sessions against a tenth of the floor: the budget grows with the sessions."""
        settings.LINKDESK_LIMIT_LIFECYCLE = 30
        sessions = []
        for number in range(300):
            phone = f"62811{number:07}"
            one = Account.objects.create(workspace=workspace, phone_number=phone, status=Status.DISCONNECTED)
            session = LinkSession.objects.create(session_id=f"webjs_1_1_{number}", account=one, bridge=bridge)
            Account.objects.filter(pk=one.pk).update(current_session=session)
            sessions.append((session, phone))
        answers = set()
        for session, phone in sessions:
            answers.add(portal.post("session_authenticated", session).status_code)
            answers.add(portal.post("session_ready", session, phone_number=phone).status_code)
        assert answers == {200}

    def test_unknown_sessions_are_charged_to_their_bridge(self, portal: Portal, settings: Any) -> None:
        settings.LINKDESK_LIMIT_OTHERS = 3
        answers = [portal.post("session_ready", f"nobody-{n}", phone_number=PHONE).status_code for n in range(5)]
        assert answers == [200, 200, 200, 429, 429]


class TestStrangers:
    def test_an_address_that_keeps_failing_is_refused_before_any_work(
        self, portal: Portal, settings: Any, session: LinkSession
    ) -> None:
        settings.LINKDESK_LIMIT_STRANGERS = 3
        stranger = Portal("guessed")
        answers = [stranger.post("session_ready", session, phone_number=PHONE) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
        assert "Retry-After" in answers[-1].headers

    def test_a_bridge_whose_cleanup_has_no_token_keeps_its_webhooks(
        self, portal: Portal, client: Client, settings: Any, account: Account, session: LinkSession
    ) -> None:
        """No shipped configuration of the Node bridge sets API_TOKEN: it sends `Bearer undefined`, for each session."""
        settings.LINKDESK_LIMIT_STRANGERS = 3
        portal.post("session_authenticated", session)
        for _ in range(9):
            client.get("/api/whatsapp/accounts-for-cleanup", headers={"Authorization": "Bearer undefined"})
        assert portal.post("session_ready", session, phone_number=PHONE).json()["outcome"] == "applied"

    def test_an_address_that_has_shown_a_good_signature_is_not_refused(
        self, portal: Portal, settings: Any, session: LinkSession
    ) -> None:
        settings.LINKDESK_LIMIT_STRANGERS = 2
        portal.post("session_authenticated", session)
        for _ in range(5):
            assert Portal("guessed").post("session_ready", session, phone_number=PHONE).status_code == 401
        assert portal.post("session_ready", session, phone_number=PHONE).status_code == 200

    def test_made_up_session_ids_fill_no_table(self, portal: Portal, settings: Any) -> None:
        settings.LINKDESK_LIMIT_OTHERS = 3
        for number in range(8):
            portal.post("session_ready", f"nobody-{number}", phone_number=PHONE)
        assert UnmatchedTraffic.objects.count() == 3

    def test_another_bridges_traffic_is_not_charged_to_the_workspace(
        self, portal: Portal, settings: Any, session: LinkSession
    ) -> None:
        settings.LINKDESK_LIMIT_OTHERS = 2
        make_bridge("beta")
        for _ in range(4):
            Portal("beta-hmac").post("typing_indicator", session)
        assert portal.post("typing_indicator", session).status_code == 200

    def test_trusted_networks_are_exempt(self, settings: Any, db: None) -> None:
        settings.LINKDESK_LIMIT_STRANGERS = 1
        settings.LINKDESK_TRUSTED_NETWORKS = ["127.0.0.0/8"]
        stranger = Portal("guessed")
        assert {stranger.post("session_ready", "x").status_code for _ in range(4)} == {401}

    def test_a_forwarded_address_counts_only_from_a_trusted_proxy(self, settings: Any, rf: Any) -> None:
        request = rf.get("/", headers={"X-Forwarded-For": "6.6.6.6, 9.9.9.9"})
        assert rate_limit.address_of(request) == "127.0.0.1"
        settings.LINKDESK_TRUSTED_PROXIES = ["127.0.0.1/32"]
        assert rate_limit.address_of(request) == "9.9.9.9"

    @pytest.mark.parametrize(
        ("sent", "address"),
        [
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("::FFFF:cb00:7107", "203.0.113.7"),
            ("2001:DB8::0001", "2001:db8::1"),
            ("x" * 99, "x" * 45),
        ],
    )
    def test_an_address_has_one_spelling(self, settings: Any, rf: Any, sent: str, address: str) -> None:
        assert rate_limit.address_of(rf.get("/", REMOTE_ADDR=sent)) == address
        settings.LINKDESK_TRUSTED_PROXIES = ["127.0.0.1/32"]
        forwarded = rf.get("/", headers={"X-Forwarded-For": sent}, REMOTE_ADDR="::ffff:127.0.0.1")
        assert rate_limit.address_of(forwarded) == address

    def test_two_ipv4_addresses_are_two_networks(self, rf: Any) -> None:
        two = (rf.get("/", REMOTE_ADDR=f"::ffff:203.0.113.{last}") for last in (7, 8))
        assert {rate_limit.network_of(rate_limit.address_of(each)) for each in two} == {"203.0.113.7", "203.0.113.8"}

    def test_logins_are_slow_to_guess(self, client: Client, settings: Any, db: None) -> None:
        settings.LINKDESK_LIMIT_LOGINS = 3
        form = {"username": "alice", "password": "guess"}
        answers = [client.post("/admin/login/", form).status_code for _ in range(5)]
        assert answers == [200, 200, 200, 429, 429]


class TestRedisDown:
    @pytest.fixture(autouse=True)
    def _closed_port(self, settings: Any) -> Iterator[None]:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        rate_limit._shared.cache_clear()
        yield
        rate_limit._shared.cache_clear()

    def test_signed_events_pass_under_a_local_budget(
        self, portal: Portal, settings: Any, account: Account, session: LinkSession
    ) -> None:
        settings.LINKDESK_LIMIT_QR = 2
        started = time.monotonic()
        answers = [portal.post("qr_code_generated", session, **QR).status_code for _ in range(4)]
        assert answers == [200, 200, 429, 429]
        assert time.monotonic() - started < 5

    def test_logins_are_refused_with_plain_words(self, client: Client, db: None) -> None:
        answer = client.post("/admin/login/", {"username": "alice", "password": "guess"})
        assert answer.status_code == 503
        assert b"Redis is down" in answer.content


FIRST_REQUESTS = """
import os
import subprocess
import sys
import threading
import django
django.setup()
from api.http import rate_limit
made, gate = [], threading.Barrier(16)
def first():
    gate.wait()
    made.append(rate_limit._shared("redis://127.0.0.1:1/0"))
threads = [threading.Thread(target=first) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(made) == 16
"""


def test_the_first_requests_of_a_process_may_come_at_once() -> None:
    """The client of Redis is imported by the first one, which takes a tenth of a second."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run([sys.executable, "-c", FIRST_REQUESTS], check=True, cwd=ROOT, env=environment)
