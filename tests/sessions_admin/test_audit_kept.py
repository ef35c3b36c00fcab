"""What the audit keeps of a change, and what it never keeps."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import models
from django.test import Client

from accounts.access import changes
from accounts.models import Account, Bridge, LinkInvitation, LinkSession, User, Workspace
from api.models import WorkspaceToken
from tests.sessions_admin.forms import act, bridge_form
from tests.support.audited import entries, the_entry

pytestmark = pytest.mark.django_db

# Names that sound like secrets and are none.
HARMLESS = {"qr_count", "qr_per_minute", "first_qr_at", "qr_expires_at"}
SECRET = ("password", "secret", "token", "hash", "fingerprint", "qr", "pairing_code", "body", "payload")
SECRETS = (*SECRET, "digest", "key")


@pytest.mark.parametrize("model", apps.get_models(), ids=lambda model: model._meta.label)
def test_no_field_that_may_hold_a_secret_or_a_text_is_kept(model: type[models.Model]) -> None:
    kept = {field.name for field in model._meta.concrete_fields if not changes.is_hidden(model, field.name)}
    left_out = changes.LEFT_OUT.get(model._meta.label_lower, set())

    assert not {name for name in kept - left_out - HARMLESS if any(word in name for word in SECRETS)}
    assert not {name for name in kept if type(model._meta.get_field(name)).__name__ == "PickledObjectField"}


def test_a_change_names_the_fields_that_changed_and_no_others(as_alice: Client, linked: Account) -> None:
    address = f"/admin/accounts/account/{linked.pk}/change/"
    as_alice.post(address, {"label": "Toko Budi 2", "phone_number": linked.phone_number or "", "is_active": "on"})

    entry = the_entry(action="account.change")
    assert (entry.before, entry.after) == ({"label": "Toko Budi"}, {"label": "Toko Budi 2"})
    assert (entry.who, entry.workspace_id, entry.object_id) == ("alice", linked.workspace_id, str(linked.pk))
    assert entry.address
    assert entry.request_id


def test_a_form_that_changes_nothing_leaves_no_entry(as_alice: Client, linked: Account) -> None:
    address = f"/admin/accounts/account/{linked.pk}/change/"
    data = {"label": linked.label, "phone_number": linked.phone_number or "", "is_active": "on"}

    assert as_alice.post(address, data).status_code == 302
    assert not entries()


def test_a_reset_names_the_reason_and_the_status_before_and_after(as_alice: Client, session: LinkSession) -> None:
    act(as_alice, session.account, "force_reset", reason="The phone was stolen")

    entry = the_entry()
    assert (entry.action, entry.reason, entry.refused) == ("account.force_reset", "The phone was stolen", "")
    assert (entry.before["status"], entry.after["status"]) == ("qr_scanning", "inactive")


def test_what_the_desk_refuses_is_noted_with_the_reason_why(as_alice: Client, session: LinkSession) -> None:
    act(as_alice, session.account, "send_test_message", phone_number="6281116801642")

    entry = the_entry()
    assert entry.action == "account.send_test_message"
    assert "not connected" in entry.refused
    assert entry.after == {"asked.phone_number": "6281116801642"}


def test_a_start_that_no_bridge_can_take_has_one_entry(as_alice: Client, workspace: Workspace) -> None:
    account = Account.objects.create(workspace=workspace)
    act(as_alice, account, "renew_qr", reason="x")

    assert the_entry().refused
    assert account.transitions.get().trigger == "refused"


def test_sets_of_rows_are_named_before_and_after(as_alice: Client, alice: User, workspace: Workspace) -> None:
    data: dict[str, Any] = {"name": workspace.name, "country": "", "members": [alice.pk]}
    data |= {f"{name}_per_minute": 9 for name in ("messages", "lifecycle", "qr", "others")}
    as_alice.post(f"/admin/accounts/workspace/{workspace.pk}/change/", data)

    entry = the_entry()
    assert (entry.before["members"], entry.after["members"]) == ("", f"alice (#{alice.pk})")


def test_of_a_password_only_that_it_changed_is_kept(as_alice: Client, bob: User) -> None:
    password = "sebelas-batang-bambu-7"
    data = {"password1": password, "password2": password, "usable_password": "true", "set-password": "1"}
    as_alice.post(f"/admin/accounts/user/{bob.pk}/password/", data)

    bob.refresh_from_db()
    assert bob.check_password(password)
    entry = the_entry(action="user.change")
    assert (entry.before, entry.after) == ({}, {"password": "changed"})


def test_of_a_secret_of_a_bridge_its_value_is_not_kept(as_alice: Client, bridge: Bridge) -> None:
    as_alice.post(f"/admin/accounts/bridge/{bridge.pk}/change/", bridge_form(bridge, "hmac", "very-secret-value"))

    entry = the_entry(action="bridgesecret.add")
    assert entry.after["value"] == "changed"
    assert "very-secret" not in str(entry.before) + str(entry.after)


def test_of_an_invitation_and_of_a_token_no_address_and_no_value_is_kept(
    as_alice: Client, linked: Account, workspace: Workspace
) -> None:
    act(as_alice, linked, "invite", _form_submitted="on")
    new = {"name": "shop", "scopes": ["read"], "days": ""}
    shown = as_alice.post(f"/admin/accounts/workspace/{workspace.pk}/new_token/", new).content.decode()

    told = "".join(f"{entry.before}{entry.after}{entry.reason}" for entry in entries())
    token = WorkspaceToken.objects.get()
    assert token.token_hash not in told
    assert LinkInvitation.objects.get().token_hash not in told
    assert "/link/" not in told
    assert the_entry(action="workspace.new_token").after == {
        "asked.name": "shop",
        "asked.scopes": "read",
        "prefix": token.prefix,
    }
    assert token.prefix in shown


def test_codes_are_not_kept(as_alice: Client, session: LinkSession) -> None:
    LinkSession.objects.filter(pk=session.pk).update(qr_svg="<svg/>", pairing_code="ABCD1234")
    state = changes.state_of(session)
    change = changes.between(LinkSession, None, state)

    assert change.after["qr_svg"] == change.after["pairing_code"] == "changed"


def test_a_person_who_was_deleted_keeps_their_name(as_alice: Client, bob: User, linked: Account) -> None:
    client = Client()
    User.objects.filter(pk=bob.pk).update(is_superuser=True)
    client.force_login(bob)
    act(client, linked, "force_reset", reason="x")
    as_alice.post(f"/admin/accounts/user/{bob.pk}/delete/", {"post": "yes"})

    entry = the_entry(action="account.force_reset")
    assert (entry.who, entry.actor_id) == ("bob", bob.pk)
    page = as_alice.get(f"/admin/accounts/auditentry/{entry.pk}/change/").content.decode()
    assert "bob" in page
    assert as_alice.get("/admin/accounts/auditentry/").status_code == 200


@pytest.mark.usefixtures("linked")
def test_a_get_and_a_form_with_errors_leave_no_entry(as_bob: Callable[..., Client], linked: Account) -> None:
    bob = as_bob("accounts.view_account", "accounts.reset_account")
    bob.get(f"/admin/accounts/account/{linked.pk}/force_reset/")
    act(bob, linked, "force_reset", reason="")

    assert not entries()
