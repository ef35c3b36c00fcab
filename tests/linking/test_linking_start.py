"""What the public page starts, with script and without, and whose form it takes."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.lifecycle import EndReason
from accounts.models import Account, Bridge, LinkSession, Transition, Workspace
from accounts.pairing import attempts, bridge_events
from tests.linking.conftest import JSON, Phone, shown

# --- starting -------------------------------------------------------------------------------------


def test_the_script_starts_a_pairing(client: Client, link: str) -> None:
    response = client.post(link + "start", headers=JSON)
    assert response.status_code == 200
    assert response.json()["view"] == "preparing"
    assert Transition.objects.get().trigger == "page"


def test_a_button_starts_it_without_script(client: Client, link: str) -> None:
    response = client.post(link + "start", follow=True)
    assert response.redirect_chain == [("./", 303)]
    assert shown(response) == "waiting preparing scan"


def test_a_second_tab_joins(client: Client, link: str, phone: Phone) -> None:
    client.post(link + "start", headers=JSON)
    phone.sees_code()
    response = client.post(link + "start", headers=JSON)
    assert response.json()["view"] == "scan"
    assert LinkSession.objects.count() == 1


def test_a_connected_account_is_just_shown(client: Client, link: str, phone: Phone) -> None:
    phone.begins()
    phone.links()
    assert client.post(link + "start", headers=JSON).json()["view"] == "linked"
    assert LinkSession.objects.count() == 1


def buttons(response: Any) -> set[str]:
    """Where the page's buttons post to."""
    return set(re.findall(r'<form method="post" action="([^"]+start)"', response.content.decode()))


def lets_time_pass(session: LinkSession) -> None:
    LinkSession.objects.filter(pk=session.pk).update(first_qr_at=timezone.now() - timedelta(seconds=121))


def test_a_new_code_before_the_worker_gets_to_the_old_one(client: Client, link: str, phone: Phone) -> None:
    old = phone.begins()
    phone.sees_code()
    lets_time_pass(old)
    [new_code] = buttons(client.get(link))
    assert client.post(new_code, headers=JSON).json()["view"] == "preparing"
    old.refresh_from_db()
    assert old.end_reason == EndReason.QR_EXPIRED
    assert Transition.objects.latest("pk").trigger == "page"


def test_a_stale_tab_leaves_the_code_that_another_has_scanned(client: Client, link: str, phone: Phone) -> None:
    lets_time_pass(phone.begins())
    [new_code] = buttons(client.get(link))
    client.post(new_code)
    current = phone.session
    for step, view in ((phone.sees_code, "scan"), (phone.scans, "finishing")):
        step()
        assert client.post(new_code, headers=JSON).json()["view"] == view
        assert phone.session == current
    assert LinkSession.objects.count() == 2


def test_a_code_to_type_is_offered_with_the_qr_code_where_the_bridge_can(
    client: Client, link: str, phone: Phone
) -> None:
    def is_offered() -> bool:
        return bool(client.get(link + "snapshot").json()["can_ask_code"])

    phone.begins()
    Bridge.objects.update(capabilities=["pairing_code"])
    assert not is_offered()
    phone.sees_code()
    assert is_offered()
    bridge_events.pairing_code_shown(phone.session.pk, code="ABCD1234", expires_in=160)
    assert not is_offered()
    LinkSession.objects.update(pairing_code_expires_at=timezone.now())
    assert is_offered()
    Bridge.objects.update(capabilities=["logout"])
    assert not is_offered()


def test_a_code_to_type_is_ordered_once(client: Client, link: str, phone: Phone) -> None:
    Bridge.objects.update(capabilities=["pairing_code"])
    number = {"phone_number": "+62 811-6732-8422"}

    def ask(form: dict[str, str]) -> tuple[int, str]:
        answer = client.post(link + "code", form, headers=JSON)
        return answer.status_code, answer.json()["error"]["code"] if "error" in answer.json() else ""

    assert client.get(link + "code").status_code == 405
    assert Client(enforce_csrf_checks=True).post(link + "code", number).status_code == 403
    assert ask(number) == (409, "NOT_PAIRING")
    phone.begins()
    phone.sees_code()
    assert ask({"phone_number": "12"}) == (400, "INVALID_NUMBER")
    assert ask({}) == (400, "INVALID_NUMBER")
    assert ask(number) == (200, "")
    assert ask(number) == (429, "CODE_UNDER_WAY")
    assert phone.session.orders.get(kind="pairing_code").phone_number == "6281167328422"
    response = client.post(link + "code", number)  # without script
    assert (response.status_code, shown(response)) == (429, "refused")


def test_no_bridge_is_said_with_the_time_to_come_back(client: Client, link: str) -> None:
    Bridge.objects.update(draining=True)
    response = client.post(link + "start", headers=JSON)
    assert (response.status_code, response["Retry-After"]) == (503, "30")
    error = response.json()["error"]
    assert (error["code"], error["retry_after"]) == ("NO_BRIDGE_AVAILABLE", 30)
    assert error["message"]


def test_too_many_pairings_is_429(client: Client, link: str, workspace: Workspace, settings: Any) -> None:
    settings.LINKDESK_MAX_OPEN_PLACEHOLDERS = 1
    attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
    response = client.post(link + "start", headers=JSON)
    assert (response.status_code, response["Retry-After"]) == (429, "60")


def test_an_account_that_is_switched_off_says_so(client: Client, link: str) -> None:
    Account.objects.update(is_active=False)
    refusal = client.post(link + "start", headers=JSON)
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (409, "ACCOUNT_INACTIVE")
    assert refusal.json()["error"]["message"].startswith("This account is switched off.")
    response = client.post(link + "start")
    assert (response.status_code, shown(response)) == (409, "refused")
    assert "This account is switched off." in response.content.decode()
    assert not LinkSession.objects.exists()


def test_a_refusal_without_script_shows_the_page_with_its_words(client: Client, link: str) -> None:
    Bridge.objects.update(draining=True)
    response = client.post(link + "start")
    assert (response.status_code, response["Retry-After"]) == (503, "30")
    assert shown(response) == "refused"
    assert "All bridges are draining: they take nothing new." in response.content.decode()
    assert f'action="{link}start"' in response.content.decode()


# --- whose form it is -----------------------------------------------------------------------------


def csrf_token(client: Client, link: str) -> str:
    match = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(link).content.decode())
    assert match is not None
    return match.group(1)


def test_a_form_of_another_site_is_refused(link: str) -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post(link + "start")
    assert response.status_code == 403
    assert b"Allow cookies" in response.content


def test_the_script_proves_itself_by_a_header(link: str) -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post(link + "start", headers={"X-CSRFToken": csrf_token(client, link), **JSON})
    assert response.status_code == 200


@pytest.mark.parametrize(("site", "status"), [("same-origin", 303), ("cross-site", 403)])
def test_a_form_with_a_null_origin_needs_the_browsers_word(link: str, site: str, status: int) -> None:
    """`Referrer-Policy: no-referrer` makes browsers post forms with `Origin: null`."""
    client = Client(enforce_csrf_checks=True)
    form = {"csrfmiddlewaretoken": csrf_token(client, link)}
    headers = {"origin": "null", "sec-fetch-site": site}
    assert client.post(link + "start", form, headers=headers).status_code == status
    https = {"origin": "null"}  # where Sec-Fetch-Site is always sent
    assert client.post(link + "start", form, headers=https, secure=True).status_code == 403
