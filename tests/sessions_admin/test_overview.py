"""The first page: what there is, what needs attention, and what to do on an empty desk."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, LinkSession, User
from webhooks.models import WebhookEvent


def counts(response: Any) -> dict[str, int]:
    return {entry.url.rpartition("=")[2]: entry.count for entry in response.context["overview"].counts}


def test_an_empty_desk_says_what_to_do_first(as_alice: Client) -> None:
    response = as_alice.get("/admin/")

    assert [step.url for step in response.context["overview"].steps] == [
        "/admin/accounts/workspace/add/",
        "/admin/accounts/bridge/add/",
        "/admin/accounts/account/add/",
    ]
    assert "Start here" in response.content.decode()


def test_it_counts_live_accounts_by_status(as_alice: Client, linked: Account, session: LinkSession) -> None:
    Account.objects.create(workspace=linked.workspace, deleted_at=timezone.now())

    response = as_alice.get("/admin/")

    assert {status: count for status, count in counts(response).items() if count} == {"inactive": 1, "qr_scanning": 1}
    assert "Start here" not in response.content.decode()
    for entry in response.context["overview"].counts:
        assert as_alice.get(entry.url).status_code == 200


def test_it_shows_what_failed_lately_and_says_why(as_alice: Client, linked: Account, account: Account) -> None:
    Account.objects.filter(pk=linked.pk).update(status=Status.FAILED, status_changed_at=timezone.now())
    long_ago = timezone.now() - timedelta(hours=25)
    Account.objects.filter(pk=account.pk).update(status=Status.FAILED, status_changed_at=long_ago)

    troubles = as_alice.get("/admin/").context["overview"].troubles

    assert [(trouble.account, trouble.meaning) for trouble in troubles] == [("Toko Budi", "The last attempt failed.")]


def test_it_shows_dead_events(as_alice: Client, session: LinkSession) -> None:
    WebhookEvent.objects.create(
        bridge=session.bridge, session=session, event="ready", payload={}, replay_key="x", state="dead"
    )

    response = as_alice.get("/admin/")

    assert "1 webhook event could not be applied" in response.content.decode()
    assert as_alice.get(response.context["overview"].dead_events_url).context["cl"].result_list.count() == 1


def test_staff_see_what_their_permissions_allow(as_bob: Callable[..., Client], linked: Account) -> None:
    Account.objects.filter(pk=linked.pk).update(status=Status.FAILED)
    bob = as_bob()

    html = bob.get("/admin/").content.decode()
    assert "Toko Budi" not in html
    assert "/admin/accounts/account/add/" not in html
    assert "/admin/django_q/" not in html
    assert "Toko Budi" in as_bob("accounts.view_account").get("/admin/").content.decode()


@pytest.mark.parametrize(("environment", "label"), [("production", False), ("staging", True)])
def test_the_environment_is_named_unless_it_is_production(
    as_alice: Client, settings: Any, environment: str, label: bool
) -> None:
    settings.ENVIRONMENT = environment

    assert bool(as_alice.get("/admin/").context["environment"]) is label


@pytest.mark.usefixtures("everything")
def test_the_sidebar_leads_everywhere(as_alice: Client, alice: User) -> None:
    groups = as_alice.get("/admin/").context["sidebar_navigation"]

    links = [item["link"] for group in groups for item in group["items"]]
    assert len(links) > 15
    for link in links:
        assert as_alice.get(link).status_code == 200
