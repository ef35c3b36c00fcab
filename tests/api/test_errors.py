"""Every error that a program may get is JSON in one form; pages for people stay HTML."""

from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import AsyncRequestFactory, Client

from accounts.models import Account, Bridge
from api import status
from api.http.sizes import BodySizeMiddleware
from tests.api.conftest import Program, assert_refused

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/api/", "/api/whatsapp/nothing", "/api/whatsapp/pair/", "/healthz/", "/api/schema"])
def test_an_unknown_path_is_404(path: str) -> None:
    assert_refused(Client().get(path), 404, "NOT_FOUND")
    assert_refused(Client().post(path, {}, "application/json"), 404, "NOT_FOUND")


def test_the_pages_of_people_stay_html(settings: Any) -> None:
    for path in ("/nowhere", "/link/x/y/z", "/admin/nothing/"):
        assert "text/html" in Client().get(path, follow=True)["Content-Type"]


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "OPTIONS"])
def test_another_method_is_405(asks: Program, method: str) -> None:
    answer = asks.client.generic(method, "/api/whatsapp/pair", headers=asks.headers)
    assert_refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert "POST" in answer["Allow"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_that_is_not_json_is_415(asks: Program, content_type: str) -> None:
    answer = asks.client.generic("POST", "/api/whatsapp/pair", b"a=b", content_type, headers=asks.headers)
    assert_refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", "INVALID_JSON"),
        (b"[]", "NOT_AN_OBJECT"),
        (b"\xff", "INVALID_UTF8"),
        (b"[" * 100_000, "TOO_DEEP"),
        (b'{"label": "a", "label": "b"}', "DUPLICATE_KEY"),
        (b'{"label": "\\u0000"}', "NUL_IN_TEXT"),
        (b'{"label": "\\ud800"}', "LONE_SURROGATE"),
        (b'{"force": NaN}', "NUMBER_OUT_OF_RANGE"),
    ],
)
def test_what_two_parsers_could_read_differently_is_400(asks: Program, bridge: Bridge, raw: bytes, code: str) -> None:
    answer = asks.client.generic("POST", "/api/whatsapp/pair", raw, "application/json", headers=asks.headers)
    assert_refused(answer, 400, code)
    assert not Account.objects.exists()


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*;q=0"])
def test_no_accept_header_is_an_error(asks: Program, accept: str) -> None:
    answer = asks.client.get("/api/whatsapp/status?format=xml", headers=asks.headers | {"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


def test_an_unknown_host_is_400() -> None:
    assert_refused(Client().get("/api/whatsapp/status", headers={"Host": "evil.example"}), 400, "BAD_REQUEST")


def test_what_breaks_is_500_without_a_word_of_why(asks: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(status, "of_workspace", breaks)
    answer = asks.get("status")
    assert_refused(answer, 500, "INTERNAL")
    assert b"secret" not in answer.content
    assert b"Traceback" not in answer.content


def test_a_database_that_is_down_is_503(asks: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any) -> None:
        raise OperationalError(2002, "Can't connect to server on '10.0.0.5'")

    monkeypatch.setattr(status, "of_workspace", down)
    answer = asks.get("status")
    assert_refused(answer, 503, "BUSY")
    assert answer["Retry-After"] == "2"
    assert b"10.0.0.5" not in answer.content


class TestSizes:
    @pytest.mark.parametrize(
        ("path", "largest"),
        [
            ("webhooks/webjs", 32 * 2**20),
            ("chats/sync", 8 * 2**20),
            ("pair", 256 * 2**10),
            ("cleanup-logs", 256 * 2**10),
            ("nothing", 256 * 2**10),
        ],
    )
    def test_what_says_it_is_too_large_is_413_before_anything_else(self, path: str, largest: int) -> None:
        def send(length: int | str) -> Any:
            return Client().generic("POST", f"/api/whatsapp/{path}", b"{}", CONTENT_LENGTH=str(length))

        words = assert_refused(send(largest + 1), 413, "BODY_TOO_LARGE")["message"]
        assert str(largest // 2**20 or largest // 2**10) in words
        assert_refused(send("9" * 5000), 413, "BODY_TOO_LARGE")
        assert send(largest).status_code in {401, 404}

    def test_a_body_just_small_enough_passes(self, asks: Program, bridge: Bridge) -> None:
        spaces = b"{" + b" " * (256 * 2**10 - 2) + b"}"

        def post(raw: bytes) -> Any:
            return asks.client.generic("POST", "/api/whatsapp/pair", raw, "application/json", headers=asks.headers)

        assert post(spaces).status_code == 201
        assert_refused(post(spaces + b" "), 413, "BODY_TOO_LARGE")

    @pytest.mark.parametrize(("size", "status"), [(256 * 2**10, 204), (256 * 2**10 + 1, 413)])
    def test_a_chunked_body_is_measured(self, size: int, status: int) -> None:
        """It names no length; under ASGI it is there in whole before we are called."""
        headers = {"Transfer-Encoding": "chunked"}
        request = AsyncRequestFactory().generic("POST", "/api/whatsapp/pair", b" " * size, headers=headers)
        del request.META["CONTENT_LENGTH"]
        assert BodySizeMiddleware(lambda _: HttpResponse(status=204))(request).status_code == status

    def test_pages_are_not_the_middlewares(self) -> None:
        assert Client().generic("POST", "/admin/login/", b"", CONTENT_LENGTH=str(2**20)).status_code == 200
