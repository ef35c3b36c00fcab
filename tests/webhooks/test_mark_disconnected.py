"""mark-disconnected: a request that was here before loses no link a second time."""

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
from accounts.models import Account, Bridge, LinkSession
from tests.support.links import READY, linked, move_back, status_of
from tests.support.portal import Portal
from tests.support.races import at_once
from tests.support.refusals import assert_refused
from tests.support.signing import signed_headers, signed_headers_2
from webhooks import retention
from webhooks.models import SignedRequest

__all__ = ["linked"]

Request = tuple[str, bytes, dict[str, str]]


def marked(session: LinkSession, version: int, *, of: str = "sessions", at: int | None = None) -> Request:
    path = f"/api/whatsapp/{of}/{session.session_id}/mark-disconnected"
    body = {"reason": "no login"}
    if version == 1:
        return (path, *signed_headers("alpha-hmac", body, at=at))
    named = {"event_id": "m1", "boot": "boot-a", "sequence": 3}
    return (path, *signed_headers_2("alpha-hmac", body, path=path, at=at, **named))  # type: ignore[arg-type]  # of mixed types


def send(request: Request, **changed: str) -> Any:
    path, raw, headers = request
    named = {name.replace("_", "-"): value for name, value in changed.items()}
    return Client(raise_request_exception=False).post(path, raw, "application/json", headers=headers | named)


@pytest.mark.parametrize("of", ["sessions", "accounts"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_replay_moves_nothing(
    portal: Portal, linked: LinkSession, account: Account, bridge: Bridge, version: int, of: str
) -> None:
    request = marked(linked, version, of=of)
    assert send(request).status_code == 200
    assert status_of(account) == Status.DISCONNECTED
    bridge.allow_version_1()
    portal.post("session_ready", linked, **READY)
    assert status_of(account) == Status.CONNECTED
    assert_refused(send(request), 409, "REPLAYED")
    assert status_of(account) == Status.CONNECTED


@pytest.mark.parametrize("changed", [{"X_Event_Id": "m2"}, {"X_Bridge_Boot": "b"}, {"X_Bridge_Sequence": "9"}], ids=str)
def test_by_version_1_also_with_other_headers(linked: LinkSession, changed: dict[str, str]) -> None:
    request = marked(linked, 1)
    assert send(request).status_code == 200
    assert_refused(send(request, **changed), 409, "REPLAYED")


def test_a_later_one_with_the_same_words_is_another(portal: Portal, linked: LinkSession, account: Account) -> None:
    now = int(time.time())
    send(marked(linked, 1, at=now - 1))
    portal.post("session_ready", linked, **READY)
    move_back(linked, 600)
    assert send(marked(linked, 1, at=now)).status_code == 200
    assert status_of(account) == Status.DISCONNECTED


def test_a_key_says_nothing_of_replays(linked: LinkSession) -> None:
    path, raw, _ = marked(linked, 1)
    for _ in range(2):
        assert send((path, raw, {"X-API-Key": "alpha-key"})).status_code == 200
    assert not SignedRequest.objects.exists()


def test_a_replay_does_not_make_a_dead_bridge_heard(linked: LinkSession, bridge: Bridge) -> None:
    request = marked(linked, 2)
    send(request)
    died_at = timezone.now() - timedelta(minutes=5)
    Bridge.objects.update(last_heard_at=died_at)
    presence._heard.clear()
    assert send(request).status_code == 409
    bridge.refresh_from_db()
    assert bridge.last_heard_at == died_at


def test_it_is_forgotten_when_its_signature_has_expired(linked: LinkSession, time_machine: Any) -> None:
    request = marked(linked, 1)
    send(request)
    assert retention.run()["requests"] == 0
    time_machine.move_to(timezone.now() + timedelta(minutes=11))
    assert retention.run()["requests"] == 1
    assert_refused(send(request), 401, "STALE_TIMESTAMP")


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_of_many_copies_at_once_one_is_taken(linked: LinkSession) -> None:
    request = marked(linked, 2)

    def tell() -> int:
        try:
            return int(send(request).status_code)
        finally:
            connection.close()

    answers = at_once([partial(tell)] * 8)
    assert answers.count(200) == 1
    assert set(answers) <= {200, 409, 503}
