"""`pair` finds the account of a phone in whatever form its number is written."""

from functools import partial

import pytest

from accounts.models import Account, Bridge, LinkSession, Workspace
from tests.api.conftest import Program, assert_refused, program
from tests.support.links import READY, link, move_back
from tests.support.portal import Portal
from tests.support.races import at_once

SPELLINGS = ["5585987650001", "558587650001", "+55 (85) 98765-0001", "0055 85 8765 0001"]


@pytest.mark.django_db
@pytest.mark.parametrize("written", SPELLINGS)
def test_a_linked_phone_is_found_by_every_spelling(
    asks: Program, portal: Portal, workspace: Workspace, bridge: Bridge, written: str
) -> None:
    assert asks.post("pair", phone_number="5585987650001").status_code == 201
    session = LinkSession.objects.get()
    link(portal, session, phone_number="558587650001")
    move_back(session, 200)
    assert_refused(asks.post("pair", phone_number=written), 409, "ALREADY_CONNECTED")
    assert Account.objects.count() == 1


@pytest.mark.django_db
def test_a_changed_number_is_found(asks: Program, portal: Portal, workspace: Workspace, bridge: Bridge) -> None:
    asks.post("pair", phone_number="525587650004")
    session = LinkSession.objects.get()
    link(portal, session, phone_number="5215587650004")
    portal.post("session_ready", session, **READY | {"phone_number": "5215587650009"})
    move_back(session, 200)
    assert_refused(asks.post("pair", phone_number="525587650009"), 409, "ALREADY_CONNECTED")


@pytest.mark.django_db
def test_a_local_spelling_needs_a_country(asks: Program, workspace: Workspace, bridge: Bridge) -> None:
    assert (
        "phone_number"
        in assert_refused(asks.post("pair", phone_number="0812 3456 7890"), 400, "INVALID_FIELD")["message"]
    )
    Workspace.objects.update(country="ID")
    assert asks.post("pair", phone_number="0812 3456 7890").status_code == 201
    assert Account.objects.get().phone_number == "6281234567890"


@pytest.mark.django_db
@pytest.mark.parametrize(("written", "said"), [("+62 812 345", "too short"), ("+44 7700 900123 44", "too long")])
def test_what_is_no_number_is_refused_in_words(asks: Program, bridge: Bridge, written: str, said: str) -> None:
    assert said in assert_refused(asks.post("pair", phone_number=written), 400, "INVALID_FIELD")["message"]
    assert not Account.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_sixteen_at_once_in_two_spellings_make_one_account(workspace: Workspace, bridge: Bridge) -> None:
    asks = [program(workspace) for _ in range(16)]
    calls = [partial(each.post, "pair", phone_number=SPELLINGS[index % 2]) for index, each in enumerate(asks)]
    answers = at_once(calls)
    assert sorted({answer.status_code for answer in answers} - {201}) in ([429], [])
    assert sum(answer.status_code == 201 for answer in answers) == 1
    assert Account.objects.count() == 1
