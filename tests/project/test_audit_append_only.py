"""Nothing of ours changes or deletes an audit entry, and an entry is part of the change that it tells of."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from accounts.access import audit
from accounts.db.transactions import atomically, before_commit
from accounts.models import Account, AuditEntry, LinkInvitation, User, Workspace
from tests.support.audited import entries, the_entry

WAYS: dict[str, Callable[[AuditEntry], Any]] = {
    "save": lambda entry: entry.save(),
    "delete": lambda entry: entry.delete(),
    "update": lambda entry: AuditEntry.objects.update(who="mallory"),
    "update of the base manager": lambda entry: AuditEntry._base_manager.update(who="mallory"),
    "bulk_update": lambda entry: AuditEntry.objects.bulk_update([entry], ["who"]),
    "update_or_create": lambda entry: AuditEntry.objects.update_or_create({"who": "mallory"}, pk=entry.pk),
    "bulk_create over it": lambda entry: AuditEntry.objects.bulk_create(
        [AuditEntry(pk=entry.pk, who="mallory")], update_conflicts=True, unique_fields=["id"], update_fields=["who"]
    ),
    "delete of all": lambda entry: AuditEntry.objects.all().delete(),
    "raw delete": lambda entry: AuditEntry.objects.all()._raw_delete("default"),
    "raw delete of the base manager": lambda entry: AuditEntry._base_manager.all()._raw_delete("default"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("way", WAYS)
def test_no_way_changes_or_deletes_an_entry(way: str) -> None:
    entry = audit.record("login", who="alice")
    entry.who = "mallory"
    stored = AuditEntry.objects.values().get()
    with pytest.raises(TypeError, match="never"):
        WAYS[way](entry)

    assert AuditEntry.objects.values().get() == stored


@pytest.mark.django_db(transaction=True)
def test_entries_stay_as_they_are_when_the_person_and_the_workspace_are_deleted() -> None:
    alice, workspace = User.objects.create(username="alice"), Workspace.objects.create(name="Toko Alice")
    audit.record("workspace.change", actor=alice, of=workspace)
    stored = AuditEntry.objects.values().get()
    alice.delete()
    workspace.delete()

    assert AuditEntry.objects.values().get() == stored
    assert AuditEntry.objects.select_related("actor", "workspace").get().who == "alice"


@pytest.fixture
def full_audit(transactional_db: None) -> Iterator[None]:
    """The database takes no entry, as where its disk is full."""
    body = {
        "sqlite": "BEGIN SELECT RAISE(ABORT, 'full'); END",
        "mysql": "FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'full'",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TRIGGER full_audit BEFORE INSERT ON accounts_auditentry {body}")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER full_audit")


@pytest.fixture
def alice(transactional_db: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create(username="alice", is_staff=True, is_superuser=True))
    return client


class TestWithoutAnEntryThereIsNoChange:
    @pytest.mark.usefixtures("full_audit")
    def test_by_a_button(self, alice: Client, workspace: Workspace) -> None:
        account = Account.objects.create(workspace=workspace, label="Alice")
        for button, data in (("force_reset", {"reason": "x"}), ("invite", {"_form_submitted": "on"})):
            assert alice.post(f"/admin/accounts/account/{account.pk}/{button}/", data).status_code >= 500

        account.refresh_from_db()
        assert account.reset_at is None
        assert not LinkInvitation.objects.exists()

    @pytest.mark.usefixtures("full_audit")
    def test_by_a_form_or_an_action_of_the_list(self, alice: Client, workspace: Workspace) -> None:
        data = {"name": "Toko Mallory", "country": ""}
        data |= {f"{name}_per_minute": "9" for name in ("messages", "lifecycle", "qr", "others")}
        chosen = {"action": "delete_selected", "_selected_action": str(workspace.pk), "post": "yes"}
        assert alice.post(f"/admin/accounts/workspace/{workspace.pk}/change/", data).status_code >= 500
        assert alice.post("/admin/accounts/workspace/", chosen).status_code >= 500

        assert Workspace.objects.get().name == workspace.name


@pytest.mark.django_db(transaction=True)
def test_a_button_leaves_its_entry_once_however_many_transactions(alice: Client, workspace: Workspace) -> None:
    account = Account.objects.create(workspace=workspace, label="Alice")
    alice.post(f"/admin/accounts/account/{account.pk}/renew_qr/", {"reason": "x"})
    assert the_entry().refused  # there is no bridge
    alice.post(f"/admin/accounts/account/{account.pk}/force_reset/", {"reason": "x"})

    assert [entry.action for entry in entries()] == ["account.renew_qr", "account.force_reset"]


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_is_tried_again_leaves_one_entry() -> None:
    tries = []

    @atomically
    def change() -> None:
        tries.append(True)

    def tell() -> None:
        audit.record("login", who="alice")
        if len(tries) == 1:
            raise OperationalError("database is locked")

    with before_commit(tell):
        change()

    assert len(tries) == 2
    assert the_entry().who == "alice"
