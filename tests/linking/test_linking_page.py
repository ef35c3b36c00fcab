"""The public page over HTTP: what it shows, what it starts, and that opening it changes nothing."""

import io
import json
import logging
import re
from datetime import timedelta
from typing import Any

import pytest
from daphne.access import AccessLogGenerator
from django.apps import apps
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone, translation

from accounts import bridge_reports, pairing, qr
from accounts.lifecycle import STATUS_AFTER, EndReason, Status
from accounts.logs import JsonLines
from accounts.models import Account, Bridge, LinkInvitation, LinkSession, Transition, Workspace
from accounts.snapshots import View
from linking.faces import CODE_FACES, MESSAGE_FACES, key_of
from tests.linking.conftest import PNG, QR_TEXT, Phone, address_of

JSON = {"accept": "application/json"}


def everything_stored() -> dict[str, list[Any]]:
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in apps.get_models()}


def shown(response: Any) -> str:
    """The one section that is not hidden."""
    sections = re.findall(r'<section class="\w+" data-face="([^"]+)"[^>]*?( hidden)?>', response.content.decode())
    faces = [face.strip() for face, is_hidden in sections if not is_hidden]
    assert len(faces) == 1
    return faces[0]


def heading(response: Any) -> str:
    match = re.search(r"<h1[^>]*>(.*?)</h1>", response.content.decode())
    assert match is not None
    return match.group(1)


# --- opening --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "snapshot", "qr.png", "?lang=id"])
def test_opening_changes_nothing(client: Client, link: str, path: str) -> None:
    before = everything_stored()
    client.get(link + path)
    client.head(link + path)
    assert everything_stored() == before


def test_a_pairing_does_not_start_by_get(client: Client, link: str) -> None:
    before = everything_stored()
    assert client.get(link + "start").status_code == 405
    assert everything_stored() == before


def test_the_page_is_private(client: Client, link: str) -> None:
    for address in (link, f"{link}snapshot", f"{link}qr.png", link.rstrip("/")):
        response = client.get(address)
        assert response["Cache-Control"] == "no-store"
        assert response["Referrer-Policy"] == "no-referrer"
        assert response["X-Robots-Tag"] == "noindex"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Content-Security-Policy"].startswith("default-src 'self';")


def test_the_page_has_nothing_inline(client: Client, link: str, phone: Phone) -> None:
    phone.begins()
    phone.sees_code()
    page = client.get(link).content.decode()
    assert '<meta name="robots" content="noindex, nofollow">' in page
    assert "<style" not in page
    assert "style=" not in page
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="/static/linking/page.js">']
    assert not re.search(r"\son\w+=", page)


def test_a_token_that_never_was_is_404(client: Client, db: None) -> None:
    for path in ("", "snapshot", "qr.png"):
        assert client.get(f"/link/nobody/{path}").status_code == 404
    assert client.post("/link/nobody/start").status_code == 404


@pytest.mark.parametrize("values", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(1)}])
def test_a_link_that_is_over_is_410_and_says_what_to_do(client: Client, link: str, values: Any) -> None:
    LinkInvitation.objects.update(**values)
    response = client.get(link)
    assert response.status_code == 410
    assert "Ask Toko Alice for a new link." in response.content.decode()
    assert response["Cache-Control"] == "no-store"
    before = everything_stored()
    assert client.post(link + "start").status_code == 410
    assert everything_stored() == before


def test_an_address_without_its_last_slash_still_opens(client: Client, link: str) -> None:
    assert client.get(link.rstrip("/"), follow=True).redirect_chain == [(link, 302)]


def test_tokens_stay_out_of_the_logs(client: Client, link: str, caplog: pytest.LogCaptureFixture) -> None:
    token = link.split("/")[2]
    LinkInvitation.objects.update(revoked_at=timezone.now())
    with caplog.at_level(logging.DEBUG, "django.request"):
        client.get(link)
        client.get(link + "no/such/page")
        client.get(link + "start")
        Client(enforce_csrf_checks=True).post(link + "start")
    lines = [JsonLines().format(record) for record in caplog.records]
    assert len(lines) >= 3
    assert all("/link/..." in line and token not in line for line in lines)


def test_daphne_writes_no_token_either(link: str, caplog: pytest.LogCaptureFixture) -> None:
    details = {"client": "127.0.0.1:1", "path": f"/ws{link}"}
    stream = io.StringIO()
    AccessLogGenerator(stream)("websocket", "connected", details)
    (record,) = caplog.records
    assert "WSCONNECT /ws/link/.../" in JsonLines().format(record)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "500"])
def test_error_pages_need_nothing_and_look_like_the_rest(name: str) -> None:
    with translation.override("id"):
        page = render_to_string(f"{name}.html")
    assert '<html lang="id">' in page
    assert "linking/page.css" in page


# --- states ---------------------------------------------------------------------------------------


def test_every_state_has_its_face(client: Client, link: str, phone: Phone) -> None:
    faces = [shown(client.get(link))]
    steps = (phone.begins, phone.sees_code, phone.is_asked, phone.scans, phone.links, phone.is_lost)
    for step in steps:
        step()
        faces.append(shown(client.get(link)))
    code = "waiting preparing scan"
    assert faces == ["idle", code, code, "action", "finishing", "linked", "reconnecting"]


def test_every_end_has_a_face_with_its_own_words() -> None:
    keys = {face.key for face in (*CODE_FACES, *MESSAGE_FACES)}
    assert set(View) <= keys
    for reason, status in STATUS_AFTER.items():
        view = {Status.FAILED: View.FAILED, Status.LOGGED_OUT: View.REMOVED}.get(status)
        assert view is None or key_of(view, reason) in keys


@pytest.mark.parametrize(
    ("said", "face", "words"),
    [
        ("TOS_BLOCK", "failed:TOS_BLOCK", "Open WhatsApp on the phone and follow what it says about the account."),
        ("402: temporarily banned", "failed:TemporaryBan", "WhatsApp has blocked this account for some time."),
        ("405: client outdated", "failed:DEPRECATED_VERSION", "Until then, new codes will fail too."),
    ],
)
def test_a_refusal_says_what_is_to_be_done(
    client: Client, link: str, phone: Phone, said: str, face: str, words: str
) -> None:
    phone.begins()
    phone.scans()
    phone.is_lost(said)
    response = client.get(link)
    assert shown(response) == face
    assert words in response.content.decode().partition(f'data-face="{face}"')[2].partition("</section>")[0]


def test_a_phone_that_is_too_old_is_told_so(client: Client, link: str, phone: Phone) -> None:
    session = phone.begins()
    bridge_reports.given_up(session.pk, reason="QRScannedWithoutMultidevice")
    assert shown(client.get(link)) == "expired:QRScannedWithoutMultidevice"


def test_the_code_is_shown_with_a_name(client: Client, link: str, phone: Phone) -> None:
    phone.begins()
    phone.sees_code()
    response = client.get(link)
    page = response.content.decode()
    assert 'data-state="qr_scanning" data-view="scan"' in page
    assert '<svg role="img" aria-label="QR code for WhatsApp" ' in page
    assert heading(response) == "Scan this code with WhatsApp"
    assert "<span data-seconds>120</span> s left" in page


def test_a_linked_page_shows_four_digits_only(client: Client, link: str, phone: Phone) -> None:
    phone.begins()
    phone.links()
    page = client.get(link).content.decode()
    assert "••• 8422" in page
    assert "6281167328422" not in page


def test_a_wrong_number_says_which_was_expected(client: Client, workspace: Workspace, bridge: Bridge) -> None:
    account = Account.objects.create(workspace=workspace, phone_number="6281111111234")
    phone = Phone(account)
    phone.begins()
    phone.scans()
    phone.links("6289999999999")
    response = client.get(address_of(account))
    assert shown(response) == "wrong_number"
    assert re.search(r"Expected number</span>\s*<span[^>]*>••• 1234", response.content.decode())


def test_a_device_that_may_be_left_on_the_phone_is_named(client: Client, link: str, phone: Phone) -> None:
    Bridge.objects.update(capabilities=[])
    phone.begins()
    phone.scans()
    LinkSession.objects.update(ended_at=timezone.now(), end_reason=EndReason.NEVER_READY)
    Account.objects.update(status=Status.FAILED)
    response = client.get(link)
    assert shown(response) == "failed:never_ready"
    assert "data-devices>First remove" in response.content.decode()
    assert client.get(link + "snapshot").json()["devices_left"] == 1


def test_a_lapsed_attempt_counts_before_the_worker_gets_to_it(client: Client, link: str, phone: Phone) -> None:
    phone.begins()
    phone.sees_code()
    LinkSession.objects.update(first_qr_at=timezone.now() - timedelta(seconds=121))
    assert shown(client.get(link)) == "expired"


def test_a_page_without_script_comes_back_by_itself(client: Client, link: str, phone: Phone) -> None:
    assert b'http-equiv="refresh"' not in client.get(link).content
    phone.begins()
    assert b'<noscript><meta http-equiv="refresh" content="5"></noscript>' in client.get(link).content


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
    bridge_reports.pairing_code_shown(phone.session.pk, code="ABCD1234", expires_in=160)
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
    pairing.start(Account.objects.create(workspace=workspace).pk, trigger="test")
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
    assert "Everything is busy at the moment." in response.content.decode()
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


# --- the snapshot and the image -------------------------------------------------------------------


def test_the_snapshot_is_what_the_page_needs(client: Client, link: str, phone: Phone, account: Account) -> None:
    phone.begins()
    phone.sees_code()
    snapshot = client.get(link + "snapshot").json()
    assert snapshot["account"] == str(account.uuid)
    assert (snapshot["status"], snapshot["view"], snapshot["face"]) == ("qr_scanning", "scan", "scan")
    assert snapshot["qr_svg"].startswith("<svg")
    assert 110 < snapshot["expires_in"] <= 120
    assert 50 < snapshot["qr_expires_in"] <= 60
    assert QR_TEXT not in json.dumps(snapshot)


def test_a_code_that_came_as_an_image_is_served_as_one(client: Client, link: str, phone: Phone) -> None:
    session = phone.begins()
    assert client.get(link + "qr.png").status_code == 404
    bridge_reports.qr_shown(session.pk, qr=qr.Qr(png=PNG), expires_in=60)
    response = client.get(link + "qr.png")
    assert (response["Content-Type"], response.content) == ("image/png", PNG)
    assert (response["Cache-Control"], response["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert f'<img src="{link}qr.png?{session.session_id}-1"' in client.get(link).content.decode()
    phone.scans()
    assert client.get(link + "qr.png").status_code == 404


def test_a_merged_account_is_shown_as_the_one_it_lives_on_as(
    client: Client, link: str, phone: Phone, workspace: Workspace
) -> None:
    known = Account.objects.create(workspace=workspace, phone_number="6281167328422")
    phone.begins()
    phone.links()
    snapshot = client.get(link + "snapshot").json()
    assert (snapshot["account"], snapshot["view"]) == (str(known.uuid), "linked")


# --- languages ------------------------------------------------------------------------------------


def test_the_first_visit_follows_the_browser(client: Client, link: str, phone: Phone) -> None:
    phone.begins()
    phone.sees_code()
    response = client.get(link, headers={"accept-language": "id-ID,id;q=0.9"})
    page = response.content.decode()
    assert '<html lang="id">' in page
    assert heading(response) == "Pindai dengan WhatsApp"
    assert "Perangkat tertaut" in page
    assert "Tautkan perangkat" in page


def test_the_switch_is_a_plain_link_and_is_remembered(client: Client, link: str) -> None:
    assert f'href="{link}?lang=id"' in client.get(link).content.decode()
    assert client.get(link + "?lang=id", follow=True).redirect_chain == [(link, 303)]
    assert b'<html lang="id">' in client.get(link).content
    client.get(link + "?lang=en", headers={"accept-language": "id"})
    assert b'<html lang="en">' in client.get(link, headers={"accept-language": "id"}).content


def test_an_unknown_language_is_ignored(client: Client, link: str) -> None:
    assert client.get(link + "?lang=xx").status_code == 200
