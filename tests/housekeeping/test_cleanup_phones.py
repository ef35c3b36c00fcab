"""Which accounts an asked cleanup means: all of them only where no phone is named."""

from typing import Any

import pytest

from accounts.models import Account, LinkSession, Workspace
from accounts.pairing import attempts
from tests.support.cleaning import HOUR, ask, clean, is_deleted, lapsed
from tests.support.portal import Portal
from tests.support.refusals import assert_refused


@pytest.fixture
def account(workspace: Workspace, portal: Portal, bridge: Any) -> Account:
    """An attempt that led nowhere, hours ago."""
    return led_nowhere(portal, workspace, "5585987650001")


def led_nowhere(portal: Portal, workspace: Workspace, phone: str | None) -> Account:
    account = Account.objects.create(workspace=workspace, phone_number=phone)
    session: LinkSession = attempts.start(account.pk, trigger="test")
    lapsed(portal, session, ago=HOUR)
    return account


@pytest.mark.parametrize(
    "phone",
    [False, True, [], {}, 0, "", " ", "+", "garbage", [1], ["5585987650001"], "1@g.us", "1844@lid", 1.5, 10**18],
    ids=repr,
)
def test_what_is_no_phone_cleans_nothing(account: Account, phone: Any) -> None:
    body = {"workspace_id": account.workspace_id, "cleanup_statuses": ["qr_scanning"], "phone_number": phone}
    assert_refused(ask("cleanup", body), 400, "INVALID_FIELD")
    assert not is_deleted(account)


@pytest.mark.parametrize("more", [{}, {"phone_number": None}], ids=str)
def test_none_means_all(portal: Portal, workspace: Workspace, account: Account, more: dict[str, Any]) -> None:
    another = led_nowhere(portal, workspace, None)
    assert clean(account, **more) == 2
    assert is_deleted(account)
    assert is_deleted(another)


@pytest.mark.parametrize(
    "phone", ["5585987650001", "558587650001", "+55 85 98765-0001", "558587650001@c.us", 5585987650001]
)
def test_a_phone_is_meant_in_any_form(portal: Portal, workspace: Workspace, account: Account, phone: Any) -> None:
    another = led_nowhere(portal, workspace, "6281234567890")
    assert clean(account, phone_number=phone) == 1
    assert is_deleted(account)
    assert not is_deleted(another)


def test_so_is_the_number_that_an_account_has_changed_to(account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(new_phone="6281234567890", new_phone_key="6281234567890")
    assert clean(account, phone_number="6281234567890") == 1
