"""A database in trouble: waited out inside the request, then said in time, and in the way the bridge understands."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import LinkSession
from tests.conftest import Portal
from webhooks.models import WebhookEvent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.race]

BRIDGE_WAITS = 10  # seconds, the Node bridge's time-out


@contextmanager
def somebody_holds(session: LinkSession) -> Iterator[None]:
    """Its row on MariaDB, the whole database on SQLite, until we are done."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            LinkSession.objects.select_for_update().get(pk=session.pk)
            held.set()
            done.wait(30)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    try:
        yield
    finally:
        done.set()
        holder.join()


def send(portal: Portal, session: LinkSession, **headers: str) -> tuple[Any, float]:
    began = time.monotonic()
    body = {"event": "session_authenticated", "data": {"session_id": session.session_id}}
    try:
        return portal.send(body, **headers), time.monotonic() - began
    finally:
        connection.close()


def test_a_bridge_is_told_to_come_again_before_it_gives_up(portal: Portal, session: LinkSession) -> None:
    portal.post("session_reconnected", session)  # the secrets are known before the trouble begins
    before = WebhookEvent.objects.count()
    with somebody_holds(session), ThreadPoolExecutor(2) as pool:
        old = pool.submit(send, portal, session)
        new = pool.submit(send, portal, session, **{"X-Event-Id": "e1"})
        answers = [old.result(), new.result()]
    assert [answer.status_code for answer, _ in answers] == [429, 503]
    assert all(took < BRIDGE_WAITS for _, took in answers)
    assert all(answer.json()["error"]["code"] == "BUSY" and answer["Retry-After"] for answer, _ in answers)
    assert WebhookEvent.objects.count() == before
    assert send(portal, session, **{"X-Event-Id": "e1"})[0].json()["outcome"] == "applied"


def test_a_short_trouble_is_not_even_noticed(portal: Portal, session: LinkSession) -> None:
    with ThreadPoolExecutor(1) as pool:
        with somebody_holds(session):
            sent = pool.submit(send, portal, session)
            time.sleep(2)
        answer, _ = sent.result()
    assert answer.json()["outcome"] == "applied"
