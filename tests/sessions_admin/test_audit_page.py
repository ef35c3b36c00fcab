"""The pages of the audit: who reads what, by which filters, and as CSV."""

import csv
import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import AsyncClient, Client

from accounts.access import audit
from accounts.models import Account, AuditEntry, Bridge, User, Workspace
from sessions_admin import audit_words
from sessions_admin.admin import audit_export
from tests.sessions_admin.forms import act
from tests.support.audited import entries, the_entry

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/auditentry/"
EXPORT = f"{LIST}export/"


def read(response: Any) -> list[dict[str, str]]:
    text = response.getvalue().decode()
    assert text.startswith("\ufeff")
    assert "\r\n" in text
    return list(csv.DictReader(StringIO(text.removeprefix("\ufeff"), newline="")))


def listed(client: Client, **query: Any) -> list[str]:
    """The names of the objects in the list."""
    return [entry.object_name for entry in client.get(LIST, query).context["cl"].result_list]


@pytest.fixture
def dora(workspace: Workspace) -> User:
    """Of the staff, for one workspace; she may read the audit and accounts."""
    dora = User.objects.create(username="dora", is_staff=True)
    workspace.members.add(dora)
    dora.user_permissions.set(Permission.objects.filter(codename__in=["view_auditentry", "view_account"]))
    return dora


@pytest.fixture
def as_dora(dora: User) -> Client:
    client = Client()
    client.force_login(dora)
    return client


class TestReading:
    def test_it_needs_its_permission(self, as_bob: Callable[..., Client], alice: User) -> None:
        entry = audit.record("login", actor=alice)
        bob = as_bob("accounts.view_account")

        assert bob.get(LIST).status_code == 403
        assert bob.get(f"{LIST}{entry.pk}/change/").status_code == 403
        assert bob.post(EXPORT).status_code == 403

    def test_a_reader_sees_the_entries_of_their_workspaces_only(
        self, as_dora: Client, linked: Account, alice: User
    ) -> None:
        other = Account.objects.create(workspace=Workspace.objects.create(name="Toko Lain"), label="Lain")
        for row in (linked, other):
            audit.record("account.force_reset", actor=alice, of=row)
        audit.record("login", actor=alice)
        theirs = the_entry(object_name="Lain")

        assert listed(as_dora) == ["Toko Budi"]
        assert as_dora.get(f"{LIST}{theirs.pk}/change/").status_code == 404
        assert [row["object"] for row in read(as_dora.post(EXPORT))] == ["Toko Budi"]

    def test_a_superuser_changes_and_deletes_nothing(self, as_alice: Client, alice: User) -> None:
        entry = audit.record("login", actor=alice)
        stored = AuditEntry.objects.values().get()

        assert as_alice.post(f"{LIST}{entry.pk}/change/", {"who": "mallory"}).status_code == 403
        assert as_alice.post(f"{LIST}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
        as_alice.post(LIST, {"action": "delete_selected", "_selected_action": entry.pk, "post": "yes"})
        assert AuditEntry.objects.values().get() == stored

    def test_fields_stand_before_and_after_side_by_side(self, as_alice: Client, linked: Account) -> None:
        data = {"label": "Toko <b>", "phone_number": linked.phone_number or "", "is_active": "on"}
        as_alice.post(f"/admin/accounts/account/{linked.pk}/change/", data)
        page = as_alice.get(f"{LIST}{the_entry().pk}/change/")

        assert [(line.name, line.before, line.after) for line in page.context["desk"].lines] == [
            ("label", "Toko Budi", "Toko <b>")
        ]
        assert b"Toko &lt;b&gt;" in page.content
        assert f'href="/admin/accounts/account/{linked.pk}/change/"' in page.content.decode()

    def test_an_object_that_is_gone_or_that_the_reader_may_not_see_has_no_link(
        self, as_dora: Client, alice: User, linked: Account, bridge: Bridge
    ) -> None:
        workspace = linked.workspace_id
        hidden = audit.record("bridge.change", actor=alice, of=bridge, workspace_id=workspace)
        gone = audit.record("group.delete", actor=alice, workspace_id=workspace)

        for entry in (hidden, gone):
            assert as_dora.get(f"{LIST}{entry.pk}/change/").context["desk"].url == ""

    def test_the_page_of_an_account_leads_to_its_entries(
        self, as_alice: Client, as_bob: Callable[..., Client], linked: Account
    ) -> None:
        act(as_alice, linked, "force_reset", reason="x")
        audit.record("login", who="somebody else")
        page = f"/admin/accounts/account/{linked.pk}/change/"
        links = {link.text: link.url for link in as_alice.get(page).context["desk"].links}

        rows = as_alice.get(links["What staff did"]).context["cl"].result_list
        assert [entry.action for entry in rows] == ["account.force_reset"]
        assert "What staff did" not in as_bob("accounts.view_account").get(page).content.decode()


class TestFilters:
    def test_by_person_action_kind_and_result(self, as_alice: Client, alice: User, bob: User, linked: Account) -> None:
        audit.record("account.force_reset", actor=alice, of=linked)
        audit.record("workspace.change", actor=bob, of=linked.workspace, refused="No.")

        assert listed(as_alice, person=bob.pk) == ["Toko Alice"]
        assert listed(as_alice, action="account.force_reset") == ["Toko Budi"]
        assert listed(as_alice, model="accounts.workspace") == ["Toko Alice"]
        assert listed(as_alice, refused="no") == ["Toko Budi"]
        assert listed(as_alice, person="x") == listed(as_alice, person="9" * 30) == []

    def test_by_date(self, as_alice: Client, linked: Account) -> None:
        audit.record("account.force_reset", who="x", of=linked)

        assert listed(as_alice, at__gte="2020-01-01 00:00:00+00:00", at__lt="2020-01-02 00:00:00+00:00") == []
        assert listed(as_alice, at__gte="2020-01-01 00:00:00+00:00") == ["Toko Budi"]


class TestWords:
    def test_a_button_has_the_words_of_the_button(self) -> None:
        assert audit_words.action("account.force_reset") == "Account: Force reset"
        assert audit_words.action("user.change") == "User: changed"
        assert audit_words.action("command.demo") == "Command demo"
        assert audit_words.action("failure.resubmit_task").startswith("Failed task: Resubmit")

    @pytest.mark.parametrize("code", ["nothing.known", "account.unheard_of", "strange", ""])
    def test_a_code_without_words_is_shown_as_it_is(self, code: str) -> None:
        assert audit_words.action(code) == code


class TestExport:
    def test_it_holds_what_the_list_shows_and_is_noted_itself(
        self, as_alice: Client, alice: User, linked: Account
    ) -> None:
        audit.record("account.force_reset", actor=alice, of=linked, before={"status": "connected"}, reason='a\nb, "c"')
        audit.record("login", actor=alice)
        (row,) = read(as_alice.post(f"{EXPORT}?action=account.force_reset"))

        assert (row["who"], row["object"], row["workspace"]) == ("alice", "Toko Budi", "Toko Alice")
        assert row["before"] == '{"status": "connected"}'
        assert row["reason"] == 'a\nb, "c"'
        assert the_entry(action="auditentry.export").after == {"filter": "action=account.force_reset"}

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
    def test_no_cell_is_a_formula(self, as_alice: Client, start: str) -> None:
        audit.record("login", who=f"{start}HYPERLINK(1)", reason=f"{start}1")
        (row,) = read(as_alice.post(f"{EXPORT}?action=login"))

        assert row["who"] == f"'{start}HYPERLINK(1)"
        assert row["reason"] == f"'{start}1"

    @pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
    @pytest.mark.parametrize("end", ["", ";", "|", "\t", "\n", "\r", "; ", ';"', "\t'", "x;\u200b"])
    def test_nor_is_what_another_spreadsheet_takes_for_a_cell(self, end: str, sign: str) -> None:
        for start in ("", "x"):
            text = audit_export.defused(f"{start}{end}{sign}1+1")
            cells = [cell.lstrip(' "\u200b') for cell in re.split(r"[;|\t\r\n]", text)]

            assert not any(cell.startswith(sign) for cell in cells) or (start and not end)

    def test_a_sign_within_a_text_stays(self) -> None:
        assert audit_export.defused("a-b@c.id; d=1") == "a-b@c.id; d=1"

    def test_a_get_exports_nothing(self, as_alice: Client) -> None:
        assert as_alice.get(EXPORT).status_code == 405
        assert not entries()

    def test_it_needs_the_csrf_token(self, alice: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(alice)

        assert client.post(EXPORT).status_code == 403

    def test_a_long_one_comes_in_pieces_without_what_is_added_meanwhile(
        self, as_alice: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(audit_export, "AT_ONCE", 2)
        for number in range(5):
            audit.record("login", who=f"person {number}")
        response: Any = as_alice.post(f"{EXPORT}?action=login")
        pieces = iter(response.streaming_content)
        first = [next(pieces), next(pieces)]
        audit.record("login", who="late")

        text = b"".join([*first, *pieces]).decode()
        assert [f"person {number}" in text for number in range(5)] == [True] * 5
        assert "late" not in text


@pytest.mark.django_db(transaction=True)
async def test_an_asgi_server_sends_it_in_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_export, "AT_ONCE", 2)
    alice = await User.objects.acreate(username="alice", is_staff=True, is_superuser=True)
    await AuditEntry.objects.abulk_create([AuditEntry(action="login", who=f"person {number}") for number in range(5)])
    client = AsyncClient()
    await client.aforce_login(alice)
    response: Any = await client.post(f"{EXPORT}?action=login")

    pieces = [piece async for piece in response.streaming_content]
    assert len(pieces) == 4
    assert b"person 0" in pieces[-1]


def test_a_reader_in_indonesian_sees_indonesian(as_alice: Client, alice: User, linked: Account) -> None:
    entry = audit.record("account.saw_code", actor=alice, of=linked)
    for address in (LIST, f"{LIST}{entry.pk}/change/"):
        page = as_alice.get(address, headers={"Accept-Language": "id"}).content.decode()
        assert "Akun: kode dilihat" in page
