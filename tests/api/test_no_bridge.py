"""No bridge takes an attempt: the refusal says the true reason, and stands in the account's history."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Account, Bridge, LinkInvitation, LinkSession, Workspace
from accounts.pairing import attempts
from tests.api.conftest import PHONE, Program, assert_refused
from tests.support.portal import make_bridge

pytestmark = pytest.mark.django_db(transaction=True)  # what is refused is rolled back
BUSY = "Everything is busy"
LONG_AGO = timedelta(minutes=10)


def refused(asks: Program, **body: Any) -> dict[str, Any]:
    return assert_refused(asks.post("pair", **body), 503, "NO_BRIDGE_AVAILABLE")


def reasons(account: Account) -> list[str]:
    return list(account.transitions.filter(trigger="refused").order_by("pk").values_list("reason", flat=True))


@pytest.fixture
def known(workspace: Workspace) -> Account:
    return Account.objects.create(workspace=workspace, phone_number=PHONE)


@pytest.mark.parametrize(
    ("values", "reason", "words"),
    [
        ({"last_heard_at": None}, "never_heard", "No bridge has been heard of yet."),
        ({"last_heard_at": "long ago"}, "silent", "No bridge has been heard of lately."),
        ({"draining": True}, "draining", "All bridges are draining"),
        ({"says_draining": True}, "shutting_down", "All bridges are shutting down."),
        ({"weight": 0}, "weight_0", "weight 0"),
        ({"library": "whatsapp-web.js", "version": "1.23.0"}, "bad_version", "All versions are known to be bad"),
        ({"capacity": 0}, "full", "all bridges are full"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
@pytest.mark.parametrize("count", [1, 3])
def test_all_have_the_same_reason(
    asks: Program, known: Account, values: dict[str, Any], reason: str, words: str, count: int
) -> None:
    if values.get("last_heard_at"):
        values = {"last_heard_at": timezone.now() - LONG_AGO}
    for number in range(count):
        make_bridge(f"bridge {number}", **values)
    error = refused(asks, phone_number=PHONE)
    assert error["reason"] == reason
    assert words in error["message"]
    assert (BUSY in error["message"]) == (reason == "full")
    assert error["retry_after"] == 30
    assert reasons(known) == [error["message"]]
    known.refresh_from_db()
    assert (known.refused_because, known.status, known.sessions.count()) == (reason, "inactive", 0)


def test_no_bridge_at_all(asks: Program, known: Account, workspace: Workspace) -> None:
    error = refused(asks, account=str(known.uuid))
    assert (error["reason"], error["message"][:36]) == ("no_bridge", "No bridge serves this workspace. Our")
    of_others = make_bridge("of others")
    of_others.workspaces.add(Workspace.objects.create(name="Toko Bob"))
    assert refused(asks, account=str(known.uuid))["reason"] == "no_bridge"


def test_several_reasons_are_counted(asks: Program, known: Account) -> None:
    make_bridge("a", capacity=0)
    make_bridge("b", capacity=0)
    make_bridge("c", last_heard_at=None)
    make_bridge("d", draining=True, weight=0)
    error = refused(asks, phone_number=PHONE)
    assert error["reason"] == "several"
    assert error["message"] == "No bridge takes a new link at the moment. full: 2, never heard of: 1, draining: 1."
    assert BUSY not in error["message"]


def test_what_others_must_mend_first_is_said_of_a_bridge_with_many(asks: Program, known: Account) -> None:
    make_bridge("a", last_heard_at=None, capacity=0, draining=True, weight=0)
    assert refused(asks, phone_number=PHONE)["reason"] == "never_heard"


def test_the_same_refusal_again_and_again_is_one_row_an_hour(asks: Program, known: Account) -> None:
    make_bridge("a", last_heard_at=None)
    for _ in range(5):
        refused(asks, phone_number=PHONE)
    assert len(reasons(known)) == 1
    Bridge.objects.update(last_heard_at=timezone.now(), draining=True)
    for _ in range(3):
        refused(asks, phone_number=PHONE)
    assert len(reasons(known)) == 2  # another reason is news
    with time_machine.travel(timezone.now() + timedelta(minutes=61)):
        Bridge.objects.update(last_heard_at=timezone.now())
        refused(asks, phone_number=PHONE)
    assert len(reasons(known)) == 3


def test_it_is_written_once_and_after_what_was_taken_back(asks: Program, known: Account) -> None:
    make_bridge("a", last_heard_at=None)
    with CaptureQueriesContext(connection) as queries:
        refused(asks, phone_number=PHONE)
    statements = [query["sql"] for query in queries]
    written = [number for number, sql in enumerate(statements) if sql.startswith("INSERT") and "_transition" in sql]
    assert len(written) == 1
    assert any(sql.startswith("ROLLBACK") for sql in statements[: written[0]])


def test_an_account_that_was_made_for_it_is_gone_with_it(asks: Program, workspace: Workspace) -> None:
    make_bridge("a", last_heard_at=None)
    assert refused(asks, phone_number=PHONE)["reason"] == "never_heard"
    assert refused(asks)["reason"] == "never_heard"
    assert not Account.objects.exists()


def test_a_refusal_for_another_reason_has_none(asks: Program, known: Account) -> None:
    make_bridge("a")
    assert asks.post("pair", phone_number=PHONE).status_code == 201
    error = assert_refused(asks.post("pair", phone_number=PHONE), 429, "PAIRING_IN_PROGRESS")
    assert "reason" not in error
    assert reasons(known) == []


def test_a_refusal_for_another_reason_on_the_page_opens_no_second_transaction(known: Account) -> None:
    make_bridge("a")
    attempts.start(known.pk, trigger="test")
    with CaptureQueriesContext(connection) as queries, pytest.raises(attempts.PairingRefused):
        attempts.start(known.pk, trigger="page")
    assert [query["sql"] for query in queries if query["sql"] in {"COMMIT", "ROLLBACK"}] == ["ROLLBACK"]


def test_an_attempt_that_a_refused_one_would_have_replaced_goes_on(asks: Program, known: Account) -> None:
    bridge = make_bridge("a")
    asks.post("pair", phone_number=PHONE)
    bridge.last_heard_at = None
    bridge.save()
    error = refused(asks, phone_number=PHONE, force=True)
    assert error["reason"] == "never_heard"
    assert LinkSession.objects.get().is_open
    assert reasons(known) == [error["message"]]


class TestThePage:
    def test_says_it_in_the_readers_language_and_the_history_in_english(self, known: Account) -> None:
        make_bridge("a", last_heard_at=None)
        path = "/link/" + LinkInvitation.issue(known).split("/link/")[1]
        client = Client(headers={"Accept-Language": "id"})
        answer = client.post(path + "start", headers={"Accept": "application/json"})
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert error["code"] == "NO_BRIDGE_AVAILABLE"
        assert error["message"].startswith("Belum ada bridge")
        assert reasons(known) == ["No bridge has been heard of yet. Our support must start one."]

    def test_a_reload_shows_the_refusal_still(self, known: Account) -> None:
        """No watcher is told of the note: a newer version would take the refusal off the page."""
        make_bridge("a", last_heard_at=None)
        path = "/link/" + LinkInvitation.issue(known).split("/link/")[1]
        before = Client().get(path + "snapshot").json()["version"]
        Client().post(path + "start", headers={"Accept": "application/json"})
        assert Client().get(path + "snapshot").json()["version"] == before
