"""Django's test client behind the door: what the door takes is stored in this thread, the rest goes the client's way.

The real one, with its thread and a server, is in tests/webhooks/test_door.py.
"""

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from api.http.request_id import id_of
from webhooks.door import app, arrivals, batch
from webhooks.door.request import AmbiguousHeaders, DoorRequest


class DoorClient(Client):
    def generic(self, method: str, path: Any, data: Any = "", *args: Any, **more: Any) -> Any:
        body = data if isinstance(data, bytes) else str(data).encode()
        scope = self._scope(method, path, body, more.get("headers") or {})
        if app._is_for_us(scope) and (answer := _answer(scope, body)):
            return answer
        return super().generic(method, path, data, *args, **more)

    def _scope(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        path, _, query = path.partition("?")
        sent = {"Content-Length": str(len(body)), "Content-Type": "application/json", "Host": "testserver"} | headers
        return {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "client": [self.defaults.get("REMOTE_ADDR", "127.0.0.1"), 1],
            "headers": [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in sent.items()],
        }


def _answer(scope: dict[str, Any], body: bytes) -> HttpResponse | None:
    try:
        request = DoorRequest(scope, body)
    except AmbiguousHeaders:
        return None
    if (arrival := arrivals.read(request)) is None:
        return None
    batch.apply([arrival])
    if arrival.answer is None:
        return None
    answer = app.answer_of(arrival.answer, id_of(request))
    response = HttpResponse(answer.body, status=answer.status, headers=answer.headers)
    response.json = lambda: json.loads(answer.body)  # type: ignore[attr-defined]  # as Django's test client adds it
    return response
