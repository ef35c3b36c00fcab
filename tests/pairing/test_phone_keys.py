"""The stored keys computed anew, after a change of the table."""

import io

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import numbering_plans
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, StraySession, Workspace
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
    assert (typed.phone_key, typed.twin_of, linked.phone_key) == ("5585987650001", linked, "5585987650001")
    assert alone.phone_key == "5511987650001"
    assert out.getvalue().endswith("3 accounts changed.\n")
    assert "8765" not in out.getvalue()
    assert phone_keys.compute_anew() == []


def test_the_account_that_holds_a_key_keeps_it(workspace: Workspace) -> None:
    first = make(workspace, "5585987650001")
    twin = make(workspace, "15551234567", status=Status.CONNECTED)
    Account.objects.filter(pk=twin.pk).update(phone_number="558587650001", twin_of=first)
    assert phone_keys.compute_anew() == []


def test_new_numbers_and_unknown_sessions_are_computed_too(workspace: Workspace, bridge: Bridge) -> None:
    changed = make(workspace, "15551234567", new_phone="558587650001", new_phone_key="stale")
    stray = StraySession.objects.create(bridge=bridge, session_id="s", phone_number="558587650001", phone_key="stale")
    assert [change.account for change in phone_keys.compute_anew()] == [changed.pk]
    changed.refresh_from_db()
    stray.refresh_from_db()
    assert changed.new_phone_key == stray.phone_key == "5585987650001"


class TestAnAccountThatGivesItsNumberUp:
    @pytest.fixture
    def holder(self, workspace: Workspace) -> Account:
        return make(workspace, "5585987650001")

    @pytest.fixture
    def twins(self, workspace: Workspace, holder: Account) -> list[Account]:
        numbers = ["558587650001", "55085987650001"]
        twins = [Account.objects.create(workspace=workspace) for _ in numbers]
        for twin, number in zip(twins, numbers, strict=True):
            Account.objects.filter(pk=twin.pk).update(phone_number=number, twin_of=holder)
        return twins

    def test_by_another_number_leaves_it_to_the_first_twin(self, holder: Account, twins: list[Account]) -> None:
        holder.phone_number = "6281167328422"
        holder.save()
        self.check(holder, twins)

    def test_by_its_deletion(self, holder: Account, twins: list[Account]) -> None:
        holder.deleted_at = timezone.now()
        holder.save(update_fields=["deleted_at"])
        self.check(holder, twins)

    def check(self, holder: Account, twins: list[Account]) -> None:
        for twin in twins:
            twin.refresh_from_db()
        assert [twin.twin_of for twin in twins] == [None, twins[0]]
        with pytest.raises(IntegrityError), transaction.atomic():
            make(twins[0].workspace, "5585987650001")

    def test_by_nothing_else(self, holder: Account, twins: list[Account]) -> None:
        holder.label = "Budi"
        holder.save()
        for twin in twins:
            twin.refresh_from_db()
            assert twin.twin_of == holder
