"""Version 2 signs the path as it stands on the request line, whatever is encoded in it."""

import time
from typing import Any
from urllib.parse import unquote

import pytest
from asgiref import testing
from django.core.asgi import get_asgi_application
from django.test import Client
from yarl import URL

from accounts.models import Bridge
from bridge.outbox.signing import signed_headers as signed_by_our_bridge
from tests.support.signing import signed_headers_2

Communicator: Any = testing.ApplicationCommunicator  # has no types
BASE = "/api/whatsapp/accounts/by-session/"
SPELLINGS = [
    "webjs_1",
    "webjs%5F1",
    "webjs_1%2D2",
    "a%40b",
    "a%3Ab",
    "a~b",
    "a%7Eb",
    "a%20b",
    "a'b",
    "a(b)",
    "%C3%A9",
    "%c3%a9",
    "a%5Bb%5D",
    "a?x=%7E&y=%2D",
    "a?x=a+b",
    "a?",
]
pytestmark = pytest.mark.django_db


def signed(path: str) -> dict[str, str]:
    return signed_headers_2("alpha-hmac", b"", method="GET", path=path)[1]


async def get(path: str, headers: dict[str, str]) -> int:
    """As an ASGI server passes it on: decoded, and as it came. Gives the status."""
    sent, _, query = path.partition("?")
    named = {"Host": "testserver"} | headers
    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(sent),
        "raw_path": sent.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
    }
    server: Any = Communicator(get_asgi_application(), scope)
    await server.send_input({"type": "http.request", "body": b""})
    return int((await server.receive_output(timeout=10))["status"])


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.django_db(transaction=True)
async def test_over_asgi(bridge: Bridge, name: str) -> None:
    """404: the signature held, and there is no such session."""
    path = BASE + name
    signed_path = path.removesuffix("?")  # no server passes an empty query on
    assert await get(path, signed(signed_path)) == 404


@pytest.mark.parametrize("variable", ["REQUEST_URI", "RAW_URI"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_over_wsgi(bridge: Bridge, name: str, variable: str) -> None:
    path = BASE + name
    answer = Client().get(path, headers=signed(path), **{variable: path})  # type: ignore[arg-type]  # a variable of WSGI
    assert answer.status_code == 404


@pytest.mark.parametrize("name", [name for name in SPELLINGS if "%" in name.partition("?")[0]])
@pytest.mark.django_db(transaction=True)
async def test_another_spelling_of_the_path_is_another_path(bridge: Bridge, name: str) -> None:
    path = BASE + name
    assert await get(path, signed(unquote(path))) == 401


@pytest.mark.parametrize("name", ["webjs_1", "a b", "é", "a%2Fb", "a@b:c", "a~b(c)'d", "a%C3%A9"])
@pytest.mark.django_db(transaction=True)
async def test_our_bridge_signs_what_it_sends(bridge: Bridge, name: str) -> None:
    url = f"http://127.0.0.1:1{BASE}{name}"
    headers = signed_by_our_bridge("alpha-hmac", "GET", url, body=b"", boot="b", sequence=1)
    assert headers["X-Timestamp"] <= str(int(time.time()))
    assert await get(URL(url).raw_path_qs, headers) == 404
