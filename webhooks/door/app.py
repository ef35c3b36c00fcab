"""The door for webhooks, in front of Django: `POST /api/whatsapp/webhooks/webjs`.

It takes messages and acks, which are nearly all that bridges send, with none of what Django costs each request. What it
cannot say yes to it hands on untouched, so that every refusal, error and lifecycle event is Django's.
"""

import asyncio
import json
import time
from collections import Counter
from typing import Any, NamedTuple

from api.http.errors import ApiError, envelope
from api.http.request_id import id_of
from webhooks.authentication import busy
from webhooks.door import arrivals
from webhooks.door.arrivals import Arrival
from webhooks.door.request import AmbiguousHeaders, DoorRequest
from webhooks.door.writer import Writer

PATH = "/api/whatsapp/webhooks/webjs"
LARGEST = 64 * 1024  # bytes; what is larger has a file in it, or is a long text: Django takes both
IN_TIME = 4  # seconds after which there is no time left for Django: the bridge waits 10
CHARGED = "linkdesk.charged"  # in the scope: the event has paid its budget
# A bridge without event ids loses what is refused, so it waits here. But it may have ten sockets for all its sessions:
# the other five are for what is not over its budget.
HELD_AT_MOST, HELD_FOR, TRIED_EVERY = 5, 5.0, 0.5  # requests of one bridge; seconds


class Door:
    def __init__(self, app: Any) -> None:
        self.app = app
        self.writer = Writer()
        self.held: Counter[int] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not _is_for_us(scope):
            await self.app(scope, receive, send)
            return
        messages = await _read(receive)
        answer = await self._answer(scope, b"".join(message.get("body", b"") for message in messages))
        if answer is None:
            await self.app(scope, _once_more(messages, receive), send)
        else:
            await _send(send, answer)

    async def _answer(self, scope: Any, body: bytes) -> "Answer | None":
        """Return the answer, or None if it is for Django to give."""
        try:
            request = DoorRequest(scope, body)
        except AmbiguousHeaders:
            return None
        came_at, arrival = time.monotonic(), arrivals.read(request)
        if arrival is None:
            return None
        is_stored = await (
            self.writer.store(arrival) if arrival.is_sent_again or arrival.is_ack else self._hold(arrival)
        )
        scope[CHARGED] = arrival.is_charged
        is_late = arrival.answer is None and time.monotonic() - came_at > IN_TIME
        outcome = busy(request) if is_late or not is_stored else arrival.answer
        return None if outcome is None else answer_of(outcome, id_of(request))

    async def _hold(self, arrival: Arrival) -> bool:
        """Store it, and while it is over its budget try again for some seconds, if its bridge has a place for that."""
        arrival.may_wait = self.held[arrival.bridge_id] < HELD_AT_MOST
        if not arrival.may_wait:
            return await self.writer.store(arrival)
        self.held[arrival.bridge_id] += 1
        try:
            return await self._store_in_time(arrival, until=time.monotonic() + HELD_FOR)
        finally:
            self.held[arrival.bridge_id] -= 1

    async def _store_in_time(self, arrival: Arrival, *, until: float) -> bool:
        is_stored = await self.writer.store(arrival)
        while is_stored and arrival.may_wait and isinstance(arrival.answer, ApiError):
            await asyncio.sleep(TRIED_EVERY)
            arrival.answer, arrival.may_wait = None, time.monotonic() < until
            is_stored = await self.writer.store(arrival)
        return is_stored


def _is_for_us(scope: Any) -> bool:
    """Whether it may be one of ours. A body that comes in chunks may be of any length: Django knows what to do."""
    if (scope["type"], scope.get("method"), scope.get("path")) != ("http", "POST", PATH):
        return False
    headers = dict(scope["headers"])  # of one that comes twice the last; DoorRequest refuses those
    length = headers.get(b"content-length", b"")
    return b"transfer-encoding" not in headers and length.isdigit() and int(length[:10]) <= LARGEST


async def _read(receive: Any) -> list[Any]:
    """Return what the server told of the body: to its end, or until the sender has gone."""
    messages = [await receive()]
    while messages[-1]["type"] == "http.request" and messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def _once_more(messages: list[Any], receive: Any) -> Any:
    """Return a `receive` that begins with what was read."""
    rest = iter(messages)

    async def again() -> Any:
        message = next(rest, None)
        return message if message is not None else await receive()

    return again


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def answer_of(outcome: ApiError | str, request_id: str) -> Answer:
    """Return what Django answers in this case."""
    headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "X-Request-Id": request_id}
    if isinstance(outcome, ApiError):
        headers["Retry-After"] = str(outcome.retry_after)
        refusal = envelope(outcome.code, outcome.message, retry_after=outcome.retry_after)
        return Answer(outcome.status_code, headers, _json(refusal))
    return Answer(200, headers, _json({"success": True, "outcome": outcome}))


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


async def _send(send: Any, answer: Answer) -> None:
    headers = answer.headers | {"Content-Length": str(len(answer.body))}
    sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": sent})
    await send({"type": "http.response.body", "body": answer.body})
