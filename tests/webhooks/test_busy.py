"""A database in trouble: waited out inside the request, then said in time, and in the way the bridge understands."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.bridges import presence
from accounts.models import Bridge, LinkSession
from tests.support.portal import Portal
from webhooks.models import WebhookEvent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.race]

BRIDGE_WAITS = 10  # seconds, the Node bridge's time-out


@contextmanager
def somebody_holds(session: LinkSession) -> Iterator[None]:
    """Its row and its bridge's on MariaDB, the whole database on SQLite, until we are done."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Bridge.objects.select_for_update().get(pk=session.bridge_id)
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
    presence._heard.clear()  # as after 10 s: that it spoke is to be noted, too
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


def test_what_is_only_a_note_waits_a_second_and_what_follows_as_long_as_before(session: LinkSession) -> None:
    waited = []

    def hear_and_write() -> None:
        began = time.monotonic()
        presence.hear(session.bridge_id)
        waited.append(time.monotonic() - began)
        LinkSession.objects.filter(pk=session.pk).update(end_detail="written")
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        with somebody_holds(session):
            done = pool.submit(hear_and_write)
            time.sleep(2.5)
        done.result()
    assert waited[0] < 2
    session.refresh_from_db()
    assert session.end_detail == "written"
