"""What staff see of messages, of events whose details were not readable, and of codes that could not be shown."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import LinkSession, Message, Workspace
from tests.support.chats import GROUP, PRIVATE, receive
from tests.support.links import READY
from tests.support.portal import Portal
from webhooks.models import WebhookEvent

LIST = "/admin/accounts/message/"


def text_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def authors(page: str) -> list[str]:
    cells = re.findall(r"<td[^>]*field-written_by[^>]*>(.*?)</td>", page, re.DOTALL)
    return [re.sub(r"<[^>]*>", "", cell).strip() for cell in cells]


class TestList:
    @pytest.mark.parametrize(
        ("more", "author"),
        [
            ({}, "Fake Contact 6281999"),
            ({"sender_name": None}, "6281999"),
            ({"sender_phone": []}, "Fake Contact"),
            ({"sender_phone": 6281999}, "Fake Contact 6281999"),
            ({"sender_name": "", "sender_phone": ""}, "6281999@c.us"),
            ({"sender_name": "<b>Bob</b>"}, "&lt;b&gt;Bob&lt;/b&gt; 6281999"),
            ({"sender_name": None, "sender_phone": None, "id": "3EB0AA"}, "–"),
        ],
    )
    def test_names_who_wrote_in_a_group(
        self, as_alice: Client, portal: Portal, session: LinkSession, more: dict[str, Any], author: str
    ) -> None:
        receive(portal, session, GROUP | more)
        assert authors(text_of(as_alice, LIST)) == [author]
        assert author in text_of(as_alice, f"{LIST}{Message.objects.get().pk}/change/")

    def test_names_nobody_in_a_private_chat(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        assert Message.objects.get().author == ""

    def test_shows_what_was_edited_and_revoked(self, as_alice: Client, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        assert ">edited<" not in text_of(as_alice, LIST)
        portal.post("message_edited", session, message_id=PRIVATE["id"], body="x", timestamp=1)
        assert "edited" in text_of(as_alice, LIST)
        portal.post("message_revoked", session, message_id=PRIVATE["id"], timestamp=1)
        assert "revoked" in text_of(as_alice, LIST)

    @pytest.mark.parametrize("kind", ["private", "group", "status", "newsletter"])
    def test_is_filtered_by_the_kind_of_chat(
        self, as_alice: Client, portal: Portal, session: LinkSession, kind: str
    ) -> None:
        chats = {"private": "1@c.us", "group": "1@g.us", "status": "status@broadcast", "newsletter": "1@newsletter"}
        for name, chat in chats.items():
            receive(portal, session, {"id": f"of-{name}", "from": chat})
        page = text_of(as_alice, f"{LIST}?chat_type__exact={kind}")
        assert [name for name in chats if f"of-{name}" in page] == [kind]


def test_a_workspace_is_told_to_leave_statuses_out(
    as_alice: Client, portal: Portal, session: LinkSession, workspace: Workspace
) -> None:
    path = f"/admin/accounts/workspace/{workspace.pk}/change/"
    assert "keeps_statuses" in text_of(as_alice, path)
    form = {"name": workspace.name, "keeps_newsletters": "on"}
    assert as_alice.post(path, form).status_code == 302
    post = {"id": "a", "from": "status@broadcast"}
    assert receive(portal, session, post).json()["outcome"] == "left_out"
    assert receive(portal, session, {"id": "b", "from": "1@newsletter"}).json()["outcome"] == "applied"


def test_the_page_of_an_event_says_what_was_not_readable(
    as_alice: Client, portal: Portal, session: LinkSession
) -> None:
    portal.post("session_ready", session, **READY | {"platform": 7.5, "device_jid": []})
    page = text_of(as_alice, f"/admin/webhooks/webhookevent/{WebhookEvent.objects.get().pk}/change/")
    assert "Not readable" in page
    assert "device_jid" in page


def test_the_pages_of_the_session_count_codes_that_could_not_be_shown(
    as_alice: Client, portal: Portal, session: LinkSession
) -> None:
    account = f"/admin/accounts/account/{session.account_id}/change/"
    assert "Codes that could not be shown" not in text_of(as_alice, account)
    for _ in range(3):
        portal.post("qr_code_generated", session, qr_code="no picture")
    portal.post("pairing_code_generated", session, pairing_code=None)
    for page in (account, f"/admin/accounts/linksession/{session.pk}/change/"):
        assert re.search(r"Codes that could not be shown.*?>\s*4\s*<", text_of(as_alice, page), re.DOTALL)
