"""Each command that changes something leaves entries in the audit; which command changes nothing is said here."""

import getpass
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.utils import timezone
from django_q.models import Schedule

from accounts.access.command import AuditedMixin
from accounts.models import Account, Bridge, BridgeSecret, LinkSession, User, Workspace
from api.models import WorkspaceToken
from tests.support.audited import entries, the_entry
from webhooks.models import WebhookEvent

pytestmark = pytest.mark.django_db

OURS = {config.name for config in apps.get_app_configs() if config.name in {"accounts", "api", "webhooks", "linking"}}
OURS |= {"sessions_admin"}
CHANGES_NOTHING = {"worker"}  # it runs what others have ordered
ME = getpass.getuser()


def run(*command: str, **options: Any) -> None:
    call_command(*command, stdout=StringIO(), **options)


def test_every_command_of_ours_is_noted_or_changes_nothing() -> None:
    ours = {name for name, app in get_commands().items() if app in OURS}
    noted = {name for name in ours if isinstance(load_command_class(get_commands()[name], name), AuditedMixin)}

    assert ours - noted == CHANGES_NOTHING
    assert {"createsuperuser", "changepassword"} <= noted


def test_a_new_workspace_is_noted_with_who_ran_the_command() -> None:
    run("create_workspace", "Toko Bob", "--country=ID")

    entry = the_entry()
    assert (entry.action, entry.who, entry.actor) == ("workspace.add", f"command: create_workspace ({ME})", None)
    assert (entry.before, entry.after["name"], entry.after["country"]) == ({}, "Toko Bob", "ID")
    assert entry.workspace_id == Workspace.objects.get().pk


def test_a_new_bridge_is_noted_without_its_secrets() -> None:
    run("create_bridge", "beta", "--url", "http://127.0.0.1:3001", "--hmac-secret=very-secret", "--api-key=most-secret")

    assert [entry.action for entry in entries()] == ["bridge.add", "bridgesecret.add", "bridgesecret.add"]
    assert "secret" not in "".join(f"{entry.before}{entry.after}" for entry in entries())


def test_what_a_command_refuses_is_noted_without_its_secrets(bridge: Bridge) -> None:
    with pytest.raises(CommandError):
        run("create_bridge", "beta", "--url", "http://127.0.0.1:3001", "--hmac-secret=alpha-hmac")

    entry = the_entry()
    assert (entry.action, entry.after["asked.name"]) == ("command.create_bridge", "beta")
    assert "already in use" in entry.refused
    assert "alpha-hmac" not in str(entry.after)


def test_an_invitation_is_noted_on_its_account_without_its_address(workspace: Workspace) -> None:
    run("invite", str(workspace.pk), "--label", "Shop phone")

    entry = the_entry()
    assert (entry.action, entry.object_id) == ("account.invite", str(Account.objects.get().pk))
    assert entry.after == {"asked.label": "Shop phone"}


def test_a_new_token_is_noted_without_its_value(workspace: Workspace) -> None:
    run("create_token", str(workspace.pk), "--name=shop", "--scope=read")

    entry, token = the_entry(), WorkspaceToken.objects.get()
    assert (entry.action, entry.after["prefix"], entry.after["scopes"]) == ("workspacetoken.add", token.prefix, "read")
    assert token.token_hash not in str(entry.after)


def test_each_secret_that_is_encrypted_anew_is_noted(bridge: Bridge) -> None:
    run("rotate_keys")

    rotated = entries(action="bridgesecret.rotate_keys")
    assert {entry.object_id for entry in rotated} == {
        str(pk) for pk in BridgeSecret.objects.values_list("pk", flat=True)
    }
    assert all(entry.after == {"value": "changed"} for entry in rotated)


def test_each_key_that_is_computed_anew_is_noted(workspace: Workspace) -> None:
    account = Account.objects.create(workspace=workspace, phone_number="6281116801641")
    Account.objects.filter(pk=account.pk).update(phone_key="1")
    run("phone_keys")

    assert the_entry().object_id == str(account.pk)
    assert the_entry().action == "account.phone_keys"


def test_each_schedule_that_is_brought_in_line_is_noted() -> None:
    run("synchronise")
    assert the_entry().action == "command.synchronise"  # nothing was to be done
    row = Schedule.objects.earliest("pk")
    minutes = row.minutes
    Schedule.objects.filter(pk=row.pk).update(minutes=999)
    run("synchronise")

    entry = the_entry(action="schedule.synchronise")
    assert (entry.object_id, entry.before, entry.after) == (
        str(row.pk), {"minutes": "999"}, {"minutes": str(minutes)},
    )  # fmt: skip


def test_a_replayed_event_is_noted_with_its_state_before_and_after(bridge: Bridge, session: LinkSession) -> None:
    event = WebhookEvent.objects.create(
        bridge=bridge, session=session, event="session_expired", payload={}, replay_key="r1", state="dead",
        finished_at=timezone.now(),
    )  # fmt: skip
    run("replay", "--event", str(event.pk))

    entry = the_entry(action="webhookevent.replay")
    assert (entry.object_id, entry.before["state"]) == (str(event.pk), "dead")
    assert entry.after["state"] != "dead"


def test_a_new_superuser_and_a_password_from_the_shell_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    password = "sebelas-batang-bambu-7"
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    run("createsuperuser", "--noinput", "--username=root", "--email=root@example.com")
    made = the_entry()
    assert (made.action, made.after["username"], made.after["password"]) == ("user.add", "root", "changed")

    monkeypatch.setattr(getpass, "getpass", lambda prompt="": f"{password}-2")
    run("changepassword", "root")
    assert User.objects.get().check_password(f"{password}-2")
    entry = the_entry(action="user.change")
    assert (entry.who, entry.after) == (f"command: changepassword ({ME})", {"password": "changed"})
    assert password not in "".join(f"{entry.before}{entry.after}" for entry in entries())
