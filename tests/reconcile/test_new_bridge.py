"""A bridge that was just made or changed is asked by the worker within seconds: it takes nothing before it is heard."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from accounts.models import Account, Bridge, BridgeSecret, User
from accounts.pairing import attempts
from tests.sessions_admin.forms import bridge_form
from tests.support.lists import shows
from tests.support.misbehaving import MisbehavingBridge, knows_only
from tests.support.portal import make_bridge
from tests.support.queue import run_due_tasks

pytestmark = pytest.mark.django_db
NEW: dict[str, Any] = {"name": "beta", "capacity": 100, "pairings_at_once": 5, "weight": 1, "capabilities": "[]"}


@pytest.fixture
def as_alice(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create(username="alice", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def account(workspace: Any) -> Account:
    return Account.objects.create(workspace=workspace)


def is_asked(seconds: float = 1) -> bool:
    """Whether the bridge was heard of when the tasks have run that are due in so many seconds."""
    run_due_tasks(within=seconds)
    return Bridge.objects.get().last_heard_at is not None


def test_one_that_the_command_made(node: MisbehavingBridge, account: Account) -> None:
    shows(node)
    call_command("create_bridge", "beta", "--url", node.url, stdout=StringIO())
    assert is_asked()
    assert attempts.start(account.pk, trigger="test").bridge.name == "beta"


def test_one_that_is_started_half_a_minute_later(node: MisbehavingBridge) -> None:
    """Its credentials are printed by the command, so it cannot run before."""
    call_command("create_bridge", "beta", "--url", "http://127.0.0.1:1", stdout=StringIO())
    assert not is_asked(16)
    shows(node)
    Bridge.objects.update(url=node.url)
    assert is_asked(31)


def test_one_that_a_refused_command_did_not_make_is_not_asked(node: MisbehavingBridge) -> None:
    make_bridge("alpha", url=node.url, last_heard_at=None)
    with pytest.raises(Exception, match="has this URL already"):
        call_command("create_bridge", "beta", "--url", node.url, stdout=StringIO())
    assert run_due_tasks(within=60) == 0


def test_one_that_was_saved_in_the_admin(node: MisbehavingBridge, as_alice: Client) -> None:
    shows(node)
    management = {f"{prefix}-{name}": 0 for prefix in ("credentials", "credentials-2") for name in
                  ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")}  # fmt: skip
    response = as_alice.post("/admin/accounts/bridge/add/", NEW | {"url": node.url} | management)
    assert response.status_code == 302, response.context["adminform"].form.errors
    assert is_asked()


def test_one_that_got_another_address_in_the_admin(node: MisbehavingBridge, as_alice: Client) -> None:
    shows(node)
    made = make_bridge("alpha", last_heard_at=None)
    form = bridge_form(made, "hmac", "") | {"credentials-2-TOTAL_FORMS": 0, "url": node.url}
    assert as_alice.post(f"/admin/accounts/bridge/{made.pk}/change/", form).status_code == 302
    assert is_asked()


def test_one_that_got_its_key_in_the_admin(node: MisbehavingBridge, as_alice: Client) -> None:
    """It answers nobody without it."""
    node.lists = knows_only("a-key-that-fits")
    made = make_bridge("alpha", url=node.url, last_heard_at=None)
    BridgeSecret.objects.filter(kind=BridgeSecret.Kind.API_KEY).delete()
    form = bridge_form(made, "api_key", "a-key-that-fits")
    assert as_alice.post(f"/admin/accounts/bridge/{made.pk}/change/", form).status_code == 302
    run_due_tasks(within=1)
    assert [seen.path for seen in node.seen if seen.method == "GET"]
    assert {seen.query.get("api_key") for seen in node.seen if seen.path == "/api/sessions"} == {"a-key-that-fits"}
