"""A burst over real sockets, as the reference bridge sends it (contract, section 0.1): nothing may be lost."""

import base64
import http.client
import itertools
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from accounts.models import LinkSession, Message
from tests.support.servers import portal as running_portal
from tests.support.signing import signed_headers
from webhooks.models import WebhookEvent

pytestmark = pytest.mark.django_db(transaction=True)

SOCKETS = 10  # as many as the bridge opens
BURST = 200
AGAIN_AFTER = (1, 2, 4)  # seconds, after a 429: SQLite under load may be `BUSY`


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running_portal(LINKDESK_DATA_DIR=str(tmp_path), LINKDESK_LIMIT_QR="1000") as address:
        yield address


class NodeSocket:
    """One of the bridge's sockets. It asks for `Connection: close`, and uses the socket again unless the answer
    says it too; a request on a socket that the portal then closes is lost."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url).netloc
        self.connection: http.client.HTTPConnection | None = None

    def post(self, body: Any) -> tuple[int, str | None]:
        for pause in AGAIN_AFTER:
            answer = self._send(body)
            if answer[0] != 429:
                return answer
            time.sleep(pause)
        return self._send(body)

    def _send(self, body: Any) -> tuple[int, str | None]:
        self.connection = self.connection or http.client.HTTPConnection(self.address, timeout=30)
        raw, headers = signed_headers("alpha-hmac", body)
        headers |= {"Content-Type": "application/json", "Connection": "close"}
        self.connection.request("POST", "/api/whatsapp/webhooks/webjs", raw, headers)
        answer = self.connection.getresponse()
        answer.read()
        says = answer.getheader("Connection")
        if says == "close":
            self.connection.close()
            self.connection = None
        return answer.status, says


def burst(url: str, bodies: list[Any]) -> list[tuple[int, str | None]]:
    """All at once over ten sockets, each of which takes the next body as soon as it is free."""
    queue = iter(bodies)

    def work(_: int) -> list[tuple[int, str | None]]:
        line = NodeSocket(url)
        return [line.post(body) for body in queue]

    with ThreadPoolExecutor(SOCKETS) as pool:
        return list(itertools.chain.from_iterable(pool.map(work, range(SOCKETS))))


def message(session: LinkSession, number: int, **more: Any) -> dict[str, Any]:
    content = {"id": f"false_628@c.us_{number:04}", "body": f"halo {number}", "timestamp": int(time.time()), **more}
    return {"event": "message_received", "data": {"session_id": session.session_id, "message": content}}


def test_two_hundred_messages_at_once(url: str, session: LinkSession) -> None:
    answers = burst(url, [message(session, number) for number in range(BURST)])
    assert answers == [(200, "close")] * BURST
    assert Message.objects.count() == BURST


def test_two_hundred_lifecycle_events_at_once(url: str, session: LinkSession) -> None:
    events = ("qr_code_generated", "session_authenticated", "session_reconnected", "session_disconnected")
    data = {"session_id": session.session_id, "qr_text": "2@abc,def", "expires_in": 60}
    bodies = [{"event": events[n % 4], "data": data | {"number": n}} for n in range(BURST)]
    assert burst(url, bodies) == [(200, "close")] * BURST
    assert WebhookEvent.objects.count() == BURST
    assert set(WebhookEvent.objects.values_list("state", flat=True)) <= {"applied", "ignored"}


def test_a_file_of_16_megabytes(url: str, session: LinkSession, tmp_path: Path) -> None:
    content = os.urandom(16 * 1024 * 1024)
    media = {"data": base64.b64encode(content).decode(), "mimetype": "video/mp4", "filename": "v.mp4"}
    answers = burst(url, [message(session, 1, type="video", has_media=True, media=media), message(session, 2)])
    assert answers == [(200, "close")] * 2
    stored = Message.objects.get(has_media=True)
    assert (tmp_path / "media" / str(stored.media.name)).read_bytes() == content
    assert Message.objects.count() == 2


def test_a_body_above_the_limit_is_refused_in_json(url: str, session: LinkSession) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    raw, headers = signed_headers("alpha-hmac", b"x" * (33 * 1024 * 1024))
    connection.request("POST", "/api/whatsapp/webhooks/webjs", raw, headers | {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Content-Type")) == (413, "application/json")
    assert b"BODY_TOO_LARGE" in answer.read()
