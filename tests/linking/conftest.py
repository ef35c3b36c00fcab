"""The linking page's world: the address of an account's page, what it shows, and a phone that does what one says."""

import re
from typing import Any

import pytest

from accounts import qr
from accounts.models import Account, LinkInvitation, LinkSession
from accounts.pairing import attempts, bridge_events, confirmation

QR_TEXT = "2@" + "Abc/+9" * 30 + ",key=,identity="
PNG = qr.PNG + b"rest of an image"
JSON = {"accept": "application/json"}


def address_of(account: Account) -> str:
    url = LinkInvitation.issue(account)
    return url[url.index("/link/") :]


@pytest.fixture
def link(account: Account) -> str:
    return address_of(account)


class Phone:
    """What a bridge reports about the account's session, in one word each."""

    def __init__(self, account: Account) -> None:
        self.account = account

    @property
    def session(self) -> LinkSession:
        self.account.refresh_from_db()
        session = self.account.resolve().current_session
        assert session is not None
        return session

    def begins(self) -> LinkSession:
        return attempts.start(self.account.pk, trigger="test")

    def sees_code(self, text: str = QR_TEXT, expires_in: int = 60) -> None:
        bridge_events.qr_shown(self.session.pk, qr=qr.from_text(text), expires_in=expires_in)

    def scans(self) -> None:
        bridge_events.authenticated(self.session.pk, device_jid="6281167328422:1@s.whatsapp.net")

    def links(self, number: str = "6281167328422") -> None:
        confirmation.ready(self.session.pk, phone=number, device_jid="", platform="android")

    def is_lost(self, reason: str = "CONFLICT") -> None:
        bridge_events.disconnected(self.session.pk, reason=reason)

    def is_asked(self, message: str = "Enter the passkey.") -> None:
        bridge_events.action_required(self.session.pk, message=message)


@pytest.fixture
def phone(account: Account) -> Phone:
    return Phone(account)


def shown(response: Any) -> str:
    """The one section that is not hidden."""
    sections = re.findall(r'<section class="\w+" data-face="([^"]+)"[^>]*?( hidden)?>', response.content.decode())
    faces: list[str] = [face.strip() for face, is_hidden in sections if not is_hidden]
    assert len(faces) == 1
    return faces[0]


def heading(response: Any) -> str:
    match = re.search(r"<h1[^>]*>(.*?)</h1>", response.content.decode())
    assert match is not None
    return match.group(1)
