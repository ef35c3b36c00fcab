"""The commands people use, and what stands alone on their last line."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account, Bridge, BridgeSecret, LinkInvitation, User, Workspace
from api.models import WorkspaceToken
from config.embedded import load_secrets

pytestmark = pytest.mark.django_db


def run(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def last_line(*command: str) -> str:
    return run(*command).splitlines()[-1]


def test_create_workspace_prints_its_id() -> None:
    assert last_line("create_workspace", "Toko Bob") == str(Workspace.objects.get(name="Toko Bob").pk)


def test_create_token_prints_a_token_that_is_stored_as_a_hash(workspace: Workspace) -> None:
    token = last_line("create_token", str(workspace.pk))
    stored = WorkspaceToken.objects.get()
    assert token.startswith(stored.prefix)
    assert token not in str(vars(stored))


@pytest.mark.parametrize("command", ["create_token", "invite"])
def test_a_workspace_that_is_not_there_is_said_plainly(command: str) -> None:
    with pytest.raises(CommandError, match="There is no workspace 99"):
        run(command, "99")


def test_create_bridge_prints_credentials_that_fit() -> None:
    printed = run("create_bridge", "beta", "--url", "http://127.0.0.1:3001")
    bridge = Bridge.objects.get(name="beta")
    assert f"HMAC_SECRET={bridge.secrets(BridgeSecret.Kind.HMAC)[0]}\n" in printed
    assert f"API_KEY={bridge.secrets(BridgeSecret.Kind.API_KEY)[0]}\n" in printed


@pytest.mark.parametrize("option", ["--hmac-secret=alpha-hmac", "--api-key=alpha-key"])
def test_create_bridge_refuses_a_secret_in_use(bridge: Bridge, option: str) -> None:
    with pytest.raises(CommandError, match="already in use"):
        run("create_bridge", "beta", "--url", "http://127.0.0.1:3001", option)
    assert not Bridge.objects.filter(name="beta").exists()


def test_create_bridge_refuses_the_url_of_another(bridge: Bridge) -> None:
    with pytest.raises(CommandError, match="The bridge alpha has this URL already"):
        run("create_bridge", "beta", "--url", f"{bridge.url}/")
    assert Bridge.objects.count() == 1


@pytest.mark.parametrize("url", ["", "http://[::1", "alpha", "http://127.0.0.1:1?a=b"])
def test_create_bridge_refuses_what_is_no_url(bridge: Bridge, url: str) -> None:
    with pytest.raises(CommandError):
        run("create_bridge", "beta", "--url", url)


def test_invite_makes_an_account_once(workspace: Workspace) -> None:
    first = last_line("invite", str(workspace.pk), "--phone", "+62 811-1680-1641")
    second = last_line("invite", str(workspace.pk), "--phone", "6281116801641")
    assert first.startswith("http")
    assert first != second  # a page each, for one account
    assert Account.objects.get().phone_number == "6281116801641"
    assert LinkInvitation.objects.count() == 2


def test_invite_finds_an_account_by_its_label(workspace: Workspace) -> None:
    for _ in range(2):
        run("invite", str(workspace.pk), "--label", "Shop phone")
    run("invite", str(workspace.pk))
    assert Account.objects.count() == 2


def test_invite_refuses_what_is_no_number(workspace: Workspace) -> None:
    with pytest.raises(CommandError, match="country code"):
        run("invite", str(workspace.pk), "--phone", "0811")
    assert not Account.objects.exists()


def test_demo_can_be_run_again(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    first, second = run("demo"), run("demo")
    assert first.splitlines()[1] == second.splitlines()[1]  # the same login
    assert (Workspace.objects.count(), Bridge.objects.count(), Account.objects.count()) == (1, 1, 1)
    password = first.split("password=")[1].strip()
    assert User.objects.get(username="admin").check_password(password)


def test_a_production_start_without_secrets_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("FIELD_ENCRYPTION_KEYS", "")
    with pytest.raises(Exception, match="SECRET_KEY, FIELD_ENCRYPTION_KEYS must be set"):
        load_secrets(tmp_path / "secrets.env", may_create=False)
