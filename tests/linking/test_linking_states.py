"""The public page in each state: its face, its words, and no more of a number than four digits."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.lifecycle import STATUS_AFTER, EndReason, Status
from accounts.models import Account, Bridge, LinkSession, Workspace
from accounts.pairing import bridge_events
from accounts.snapshots import View
from linking.screens import CODE_FACES, MESSAGE_FACES, key_of
from tests.linking.conftest import Phone, address_of, heading, shown


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


@pytest.mark.parametrize(
    ("said", "face", "words"),
    [
        ("403: primary device was logged out", "removed:403", "Open WhatsApp on the phone and follow what it says"),
        ("UNPAIRED_IDLE", "removed:UNPAIRED_IDLE", "remove the devices"),
    ],
)
def test_a_link_that_whatsapp_ended_says_why(
    client: Client, link: str, phone: Phone, said: str, face: str, words: str
) -> None:
    phone.begins()
    phone.links()
    LinkSession.objects.update(authenticated_at=timezone.now() - timedelta(hours=5))
    LinkSession.objects.update(connected_at=timezone.now() - timedelta(hours=5))
    phone.is_lost(said)
    response = client.get(link)
    assert shown(response) == face
    assert words in response.content.decode().partition(f'data-face="{face}"')[2].partition("</section>")[0]


def test_a_phone_that_is_too_old_is_told_so(client: Client, link: str, phone: Phone) -> None:
    session = phone.begins()
    bridge_events.given_up(session.pk, reason="QRScannedWithoutMultidevice")
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
