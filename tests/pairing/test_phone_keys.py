"""The stored keys computed anew, after a change of the table."""

import io

import pytest
from django.core.management import call_command

from accounts import numbering_plans
from accounts.lifecycle import Status
from accounts.models import Account, Workspace
from accounts.pairing import phone_keys

pytestmark = pytest.mark.django_db


def make(workspace: Workspace, number: str, **values: object) -> Account:
    return Account.objects.create(workspace=workspace, phone_number=number, **values)


def without_brazil(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table as it was before it knew Brazil."""
    later = tuple(former for former in numbering_plans.FORMER_FORMS if not former.today.startswith("55"))
    monkeypatch.setattr(numbering_plans, "FORMER_FORMS", later)


def test_keys_that_are_right_stay(workspace: Workspace) -> None:
    make(workspace, "5585987650001")
    make(workspace, "6281167328422", deleted_at="2026-01-01T00:00Z")
    assert phone_keys.compute_anew() == []


def test_a_rule_that_is_new_is_applied_and_twins_are_marked(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        without_brazil(earlier)
        typed = make(workspace, "5585987650001")
        linked = make(workspace, "558587650001", status=Status.CONNECTED)
        alone = make(workspace, "551187650001")
    out = io.StringIO()
    call_command("phone_keys", stdout=out)
    for account in (typed, linked, alone):
        account.refresh_from_db()
    assert (typed.phone_key, typed.twin_of, linked.phone_key) == (None, linked, "5585987650001")
    assert alone.phone_key == "5511987650001"
    assert out.getvalue().endswith("3 keys changed.\n")
    assert "8765" not in out.getvalue()
    assert phone_keys.compute_anew() == []


def test_the_account_that_holds_a_key_keeps_it(workspace: Workspace) -> None:
    first = make(workspace, "5585987650001")
    twin = make(workspace, "15551234567", status=Status.CONNECTED)
    Account.objects.filter(pk=twin.pk).update(phone_number="558587650001", phone_key=None, twin_of=first)
    assert phone_keys.compute_anew() == []


def test_a_twin_gets_the_key_of_one_that_is_gone(workspace: Workspace) -> None:
    first = make(workspace, "5585987650001")
    twin = make(workspace, "15551234567")
    Account.objects.filter(pk=twin.pk).update(phone_number="558587650001", phone_key=None, twin_of=first)
    Account.objects.filter(pk=first.pk).update(deleted_at="2026-01-01T00:00Z")
    phone_keys.hand_over(first)
    twin.refresh_from_db()
    assert (twin.phone_key, twin.twin_of) == ("5585987650001", None)
