"""Secrets go in, or are shown once, and never come back."""

import re
from collections.abc import Callable
from typing import Any

from django.contrib.messages import get_messages
from django.test import Client

from accounts.models import Bridge, BridgeSecret, LinkSession, User, Workspace
from api.models import WorkspaceToken
from tests.sessions_admin.forms import bridge_form
from tests.support.portal import make_bridge


def test_a_bridge_shows_its_secrets_without_their_values(as_alice: Client, bridge: Bridge) -> None:
    html = as_alice.get(f"/admin/accounts/bridge/{bridge.pk}/change/").content.decode()

    assert "webhook signature" in html
    assert "alpha-hmac" not in html
    assert "alpha-key" not in html
    assert bridge.credentials.earliest("pk").fingerprint not in html


def test_not_even_to_whoever_may_only_view(as_bob: Callable[..., Client], bridge: Bridge) -> None:
    bob = as_bob("accounts.view_bridge", "accounts.view_bridgesecret")
    secret = bridge.credentials.earliest("pk")

    for address in (f"bridge/{bridge.pk}/change/", f"bridgesecret/{secret.pk}/change/", "bridgesecret/"):
        html = bob.get(f"/admin/accounts/{address}").content.decode()
        assert "alpha-" not in html
        assert secret.fingerprint not in html


def test_a_secret_is_added_on_the_page_of_its_bridge(as_alice: Client, bridge: Bridge) -> None:
    response = as_alice.post(f"/admin/accounts/bridge/{bridge.pk}/change/", bridge_form(bridge, "hmac", "a-new-one"))

    assert response.status_code == 302
    assert bridge.secrets(BridgeSecret.Kind.HMAC) == ["a-new-one", "alpha-hmac"]


def test_a_secret_that_is_in_use_is_a_form_error(as_alice: Client, bridge: Bridge) -> None:
    make_bridge("beta")

    response = as_alice.post(f"/admin/accounts/bridge/{bridge.pk}/change/", bridge_form(bridge, "hmac", "beta-hmac"))

    html = response.content.decode()
    assert response.status_code == 200
    assert "This secret is already in use. Every bridge needs its own." in html
    assert "beta-hmac" not in html


def test_a_secret_is_retired_by_a_dialog(as_alice: Client, bridge: Bridge) -> None:
    secret = bridge.credentials.get(kind="hmac")

    as_alice.post(f"/admin/accounts/bridgesecret/{secret.pk}/retire/", {"_form_submitted": "on"})

    assert bridge.secrets(BridgeSecret.Kind.HMAC) == []


def new_token(client: Client, workspace: Workspace, **asked: Any) -> Any:
    return client.post(f"/admin/accounts/workspace/{workspace.pk}/new_token/", {"_form_submitted": "on"} | asked)


def test_a_token_is_shown_once(as_alice: Client, workspace: Workspace) -> None:
    response = new_token(as_alice, workspace, name="shop", scopes=["read", "link"], days="30")

    token = WorkspaceToken.objects.get()
    match = re.search(r"ld_[\w-]+", response.content.decode())
    assert match is not None
    assert WorkspaceToken.objects.find(match[0]) == token
    assert (token.workspace, token.name, token.scopes) == (workspace, "shop", "read link")
    assert token.expires_at is not None
    assert (token.expires_at - token.created_at).days in {29, 30}
    for address in (f"accounts/workspace/{workspace.pk}", f"api/workspacetoken/{token.pk}"):
        html = as_alice.get(f"/admin/{address}/change/").content.decode()
        assert match[0] not in html
        assert token.token_hash not in html


def test_a_token_stays_out_of_cookies_and_messages(as_alice: Client, workspace: Workspace) -> None:
    response = new_token(as_alice, workspace, name="shop", scopes=["read"])

    prefix = WorkspaceToken.objects.get().prefix
    assert "no-store" in response["Cache-Control"]
    assert prefix not in as_alice.cookies.output()
    assert [str(message) for message in get_messages(response.wsgi_request)] == []
    assert prefix not in str(dict(as_alice.session))


def test_a_token_needs_a_name_and_a_scope(as_alice: Client, workspace: Workspace) -> None:
    for asked in ({"name": "shop"}, {"scopes": ["read"]}, {"name": "shop", "scopes": ["all"]}):
        assert new_token(as_alice, workspace, **asked).context["form"].errors
    assert new_token(as_alice, workspace, name="shop", scopes=["read"], days="0").context["form"].errors
    assert not WorkspaceToken.objects.exists()


def test_tokens_are_made_by_whoever_may_add_them(as_bob: Callable[..., Client], workspace: Workspace) -> None:
    bob = as_bob("accounts.view_workspace", "accounts.change_workspace", "accounts.view_account")
    assert new_token(bob, workspace, name="shop", scopes=["read"]).status_code == 403

    bob = as_bob("api.add_workspacetoken")
    assert new_token(bob, workspace, name="shop", scopes=["read"]).status_code == 200
    assert WorkspaceToken.objects.count() == 1


def test_a_token_may_do_no_more_than_whoever_makes_it(as_bob: Callable[..., Client], workspace: Workspace) -> None:
    bob = as_bob("accounts.view_workspace", "api.add_workspacetoken", "accounts.view_account", "accounts.renew_qr")

    form = bob.get(f"/admin/accounts/workspace/{workspace.pk}/new_token/").context["form"]
    refused = new_token(bob, workspace, name="shop", scopes=["read", "manage"])

    assert [scope for scope, _text in form.fields["scopes"].choices] == ["read"]
    assert "scopes" in refused.context["form"].errors
    assert not WorkspaceToken.objects.exists()
    bob = as_bob("accounts.see_codes", "accounts.add_linkinvitation")  # which a program gets by the scope `link`
    form = bob.get(f"/admin/accounts/workspace/{workspace.pk}/new_token/").context["form"]
    assert [scope for scope, _text in form.fields["scopes"].choices] == ["read", "link"]
    bob = as_bob("accounts.reset_account")
    new_token(bob, workspace, name="shop", scopes=["read", "manage"])
    assert WorkspaceToken.objects.get().scopes == "read manage"


def test_whoever_may_do_nothing_makes_no_token(as_bob: Callable[..., Client], workspace: Workspace) -> None:
    bob = as_bob("accounts.view_workspace", "api.add_workspacetoken")

    assert new_token(bob, workspace, name="shop", scopes=["read"]).status_code == 403


def test_a_token_is_revoked_and_never_edited(as_alice: Client, workspace: Workspace) -> None:
    WorkspaceToken.issue(workspace.pk, name="shop")
    token = WorkspaceToken.objects.get()

    assert as_alice.post(f"/admin/api/workspacetoken/{token.pk}/change/", {"name": "x"}).status_code == 403
    as_alice.post(f"/admin/api/workspacetoken/{token.pk}/revoke/", {"_form_submitted": "on"})

    token.refresh_from_db()
    assert token.revoked_at is not None
    assert token.name == "shop"


def test_codes_of_a_running_pairing_stay_on_the_linking_page(as_alice: Client, session: LinkSession) -> None:
    LinkSession.objects.filter(pk=session.pk).update(qr_svg="<svg>secret-code</svg>", pairing_code="ABCD-1234")

    for address in (f"linksession/{session.pk}/change/", f"account/{session.account_id}/change/", "linksession/"):
        html = as_alice.get(f"/admin/accounts/{address}").content.decode()
        assert "secret-code" not in html
        assert "ABCD-1234" not in html


def test_staff_cannot_make_themselves_superusers(as_bob: Callable[..., Client], bob: User, alice: User) -> None:
    client = as_bob("accounts.view_user", "accounts.change_user")
    data = {"username": "bob", "is_active": "on", "is_superuser": "on", "time_zone": "UTC"}

    client.post(f"/admin/accounts/user/{bob.pk}/change/", data)

    bob.refresh_from_db()
    assert not bob.is_superuser
    assert client.post(f"/admin/accounts/user/{alice.pk}/change/", data).status_code == 403
    assert client.get(f"/admin/accounts/user/{alice.pk}/password/").status_code == 403
