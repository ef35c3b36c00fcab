"""The public page over HTTP: it is private, speaks two languages, and opening it changes nothing."""

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

from accounts import qr
from accounts.logs.format import JsonLines
from accounts.models import Account, LinkInvitation, Workspace
from accounts.pairing import bridge_events
from tests.linking.conftest import PNG, QR_TEXT, Phone, heading


def everything_stored() -> dict[str, list[Any]]:
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in apps.get_models()}


# --- opening --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "snapshot", "qr.png", "?lang=id"])
def test_opening_changes_nothing(client: Client, link: str, path: str) -> None:
    before = everything_stored()
    client.get(link + path)
    client.head(link + path)
    assert everything_stored() == before


@pytest.mark.parametrize(("country", "example"), [("", "+62 812-345-678"), ("BR", "+55 11 96123-4567")])
def test_the_number_to_type_has_an_example_of_the_workspaces_country(
    client: Client, link: str, country: str, example: str
) -> None:
    Workspace.objects.update(country=country)
    assert f'placeholder="{example}"' in client.get(link).content.decode()


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
    bridge_events.qr_shown(session.pk, qr=qr.Qr(png=PNG), expires_in=60)
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
