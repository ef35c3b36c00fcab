"""The schema says all that there is, and its page works under the strict policy."""

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from playwright.sync_api import expect

from api.openapi import CODES
from tests.api.routes import METHODS, described_operations
from tests.support.browser import browser_page
from tests.support.servers import portal as a_portal


@cache
def operations() -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = SchemaGenerator().get_schema(request=None, public=True)["paths"]  # type: ignore[no-untyped-call]
    return {f"{method.upper()} {path}": found[method] for path, found in paths.items() for method in METHODS & {*found}}


def test_it_is_valid_and_nothing_is_guessed(tmp_path: Any) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))


def test_no_route_is_missing() -> None:
    assert set(operations()) == set(described_operations())


@pytest.mark.parametrize("name", described_operations())
def test_an_operation_says_who_may_ask_and_what_may_go_wrong(name: str) -> None:
    operation = operations()[name]
    assert operation["summary"]
    assert operation["tags"] in (["operators"], ["bridges"])
    if name != "POST /api/v1/whatsapp/webhook":
        assert operation["security"]
        assert {"401", "429", "503"} <= set(operation["responses"])
    if "requestBody" in operation:
        assert "413" in operation["responses"]


def test_every_code_that_is_described_stands_in_the_code() -> None:
    rooms = ("accounts", "api", "webhooks")
    source = "".join(
        file.read_text() for room in rooms for file in Path(room).rglob("*.py") if file.name != "openapi.py"
    )
    drf = {"NOT_AUTHENTICATED", "METHOD_NOT_ALLOWED"}  # made of DRF's own names
    assert [code for code in CODES if f'"{code}"' not in source and code not in drf] == []


def test_every_code_that_stands_in_the_code_is_described() -> None:
    calls = (
        call
        for room in ("api", "webhooks")
        for file in Path(room).rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "ApiError"
    )
    raised = {code.value for call in calls if isinstance(code := call.args[1], ast.Constant)}
    assert raised - CODES.keys() == {"LIMITER_DOWN"}  # of the admin's login, which is no operation


def test_it_is_served_as_json() -> None:
    answer = Client().get("/api/schema/")
    assert answer.status_code == 200
    assert json.loads(answer.content)["openapi"].startswith("3.")


def test_its_page_has_nothing_inline() -> None:
    answer = Client().get("/api/docs/")
    assert "unsafe" not in answer["Content-Security-Policy"]
    page = answer.content.decode()
    assert "<style" not in page
    assert "<script>" not in page
    assert "://" not in page  # all of it is served from here


@pytest.mark.needs("chromium")
@pytest.mark.django_db(transaction=True)
def test_its_page_works_under_the_strict_policy() -> None:
    complaints: list[str] = []
    with a_portal() as url, browser_page(complaints) as page:
        page.goto(f"{url}/api/docs/")
        page.locator("#operations-operators-pair .opblock-summary-control").click()
        expect(page.get_by_text("PAIRING_IN_PROGRESS").first).to_be_visible()
    assert complaints == []
