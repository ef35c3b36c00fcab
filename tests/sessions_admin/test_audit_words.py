"""The audit speaks the reader's language: each action, reason and field that the code base notes has words."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from accounts.access import audit
from accounts.models import Account, AuditEntry, User
from sessions_admin import audit_words
from tests.sessions_admin.test_audit_page import EXPORT, LIST, read
from tests.support import ROOT
from tests.support.staff import FAST, LOGIN, PASSWORD, STEP, app_of, staff

pytestmark = pytest.mark.django_db
APPS = ("accounts", "api", "sessions_admin", "webhooks", "linking")


@pytest.fixture(autouse=True)
def _fast(settings: Any) -> None:
    settings.PASSWORD_HASHERS = FAST


def calls() -> Iterator[ast.Call]:
    for app in APPS:
        for file in (ROOT / app).rglob("*.py"):
            yield from (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))


def literals(node: ast.AST, names: set[str]) -> Iterator[str]:
    """What an f-string may be: each of the words that its hole chooses among, or of those that are passed for it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        hole = node.values[-1]
        chosen = hole.value if isinstance(hole, ast.FormattedValue) else hole
        words = [chosen.body, chosen.orelse] if isinstance(chosen, ast.IfExp) else []
        for word in [str(each.value) for each in words if isinstance(each, ast.Constant)] or sorted(names):
            yield str(node.values[0].value) + word


def called(node: ast.Call) -> str:
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def recorded() -> set[str]:
    """The actions that are written out in calls."""
    found = list(calls())
    passed = [node.args[0] for node in found if called(node) == "_record" and node.args]
    of_api = {str(each.value) for each in passed if isinstance(each, ast.Constant)}
    codes: set[str] = set()
    for node in found:
        if called(node) in {"record", "note", "note_change"} and node.args:
            codes |= {code for code in literals(node.args[0], of_api) if code and not code.endswith(".")}
    return codes


def of_pages() -> Iterator[str]:
    """What a page notes by itself: its forms, those of its inlines, and its buttons."""
    for model, page in admin.site._registry.items():
        for each in (model, *(inline.model for inline in page.inlines)):
            yield from (f"{each._meta.model_name}.{verb}" for verb in ("add", "change"))
        if model._meta.app_label in APPS:
            yield f"{model._meta.model_name}.delete"
            yield from (f"{model._meta.model_name}.{name}" for name in getattr(page, "actions_detail", ()))


def test_every_action_that_is_noted_has_words() -> None:
    codes = recorded()

    assert {"login.refused", "second_factor.not_proven", "second_factor.replaced", "account.force_reset"} <= codes
    assert [code for code in sorted({*codes, *of_pages()}) if audit_words.action(code) == code] == []


def test_every_reason_that_is_noted_as_a_code_has_words() -> None:
    codes = {
        keyword.value.value
        for node in calls()
        for keyword in node.keywords
        if keyword.arg == "refused" and isinstance(keyword.value, ast.Constant) and keyword.value.value
    }

    assert {"wrong_password", "wrong_code", "not_proven"} <= codes
    assert [code for code in sorted(map(str, codes)) if audit_words.refusal(code) == code] == []


class TestARefusedLogin:
    @pytest.fixture
    def entry(self) -> Any:
        staff("sari")
        Client().post(LOGIN, {"username": "sari", "password": "guess"})
        return AuditEntry.objects.get(action="login.refused")

    def test_is_shown_as_refused(self, entry: Any, as_alice: Client) -> None:
        shown = as_alice.get(LIST, {"refused": "yes"})

        assert [each.pk for each in shown.context["cl"].result_list] == [entry.pk]
        assert "refused" in shown.content.decode()
        assert not as_alice.get(LIST, {"refused": "no"}).context["cl"].result_list

    def test_its_page_says_why_in_the_readers_language(self, entry: Any, as_alice: Client) -> None:
        page = f"{LIST}{entry.pk}/change/"

        assert "The password was wrong, or the person may not log in." in as_alice.get(page).content.decode()
        shown = as_alice.get(page, headers={"Accept-Language": "id"}).content.decode()
        assert "Kata sandinya salah, atau orang ini tidak boleh masuk." in shown

    def test_the_export_keeps_the_code(self, entry: Any, as_alice: Client) -> None:
        assert read(as_alice.post(EXPORT))[0]["refused"] == "wrong_password"


def test_a_wrong_code_is_noted_as_refused() -> None:
    client = Client()
    app_of(staff("sari"))
    client.post(LOGIN, {"username": "sari", "password": PASSWORD})
    client.post(STEP, {"code": "000000"})

    assert AuditEntry.objects.get(action="login.wrong_code").refused == "wrong_code"


def test_a_change_that_was_not_proven_is_noted_as_refused() -> None:
    client = Client()
    client.force_login(staff("sari"))
    client.post("/admin/second-factor/", {"proof": "guess"})

    assert AuditEntry.objects.get(action="second_factor.not_proven").refused == "not_proven"


def test_the_page_of_an_entry_is_named_by_its_action(as_alice: Client, alice: User, linked: Account) -> None:
    entry = audit.record("account.force_reset", actor=alice, of=linked)
    shown = as_alice.get(f"{LIST}{entry.pk}/change/").content.decode()

    assert "Account: Force reset" in shown[: shown.index("</title>")]
    assert f"account.force_reset {entry.pk}" not in shown


def test_our_own_keys_and_words_are_translated(as_alice: Client, alice: User) -> None:
    entry = audit.record("login", actor=alice, of=alice, after={"second factor": "recovery code"})
    shown = as_alice.get(f"{LIST}{entry.pk}/change/", headers={"Accept-Language": "id"})

    assert [(line.name, line.after) for line in shown.context["desk"].lines] == [("faktor kedua", "kode pemulihan")]
