"""Texts of messages: masked wherever they are kept, and read on purpose, with a permission, which is noted."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import models
from django.test import Client

from accounts.access import bodies
from accounts.models import AuditEntry, Bridge, LinkSession, Message, User
from tests.sessions_admin.pages import url
from tests.support.chats import GROUP, receive
from tests.support.portal import Portal
from webhooks.models import StoredReport, WebhookEvent

SECRET = "meet me at the harbour"
VIEWS = ("accounts.view_message", "webhooks.view_webhookevent", "webhooks.view_storedreport")
CHATS = {"chats": [{"id": "6281@c.us", "name": "Fake Contact", "lastMessage": {"body": SECRET, "timestamp": 7}}]}


@pytest.fixture
def message(session: LinkSession) -> Message:
    return Message.objects.create(session=session, message_id="true_1@c.us_A1", body=SECRET, media_name="harbour.pdf")


@pytest.fixture
def kept(message: Message, session: LinkSession) -> list[Any]:
    """A row of each kind that holds a text: a message, a dead letter of the inbox, a report of a bridge."""
    bridge = session.bridge
    dead = WebhookEvent.objects.create(
        bridge=bridge,
        session=session,
        event="session_error",
        payload={"error": "x", "lastMessage": {"body": SECRET}},
        replay_key="r1",
        state=WebhookEvent.State.DEAD,
    )
    report = StoredReport.objects.create(bridge=bridge, kind="chats", payload=CHATS, digest="d1")
    return [message, dead, report]


def page_of(row: Any) -> str:
    return url(type(row), "change", row.pk)


def read(client: Client, row: Any, **headers: str) -> Any:
    return client.post(url(type(row), "read_body", row.pk), {"_form_submitted": "on"}, headers=headers)


class TestMasked:
    def test_no_text_is_in_a_page_a_list_or_a_search(self, as_alice: Client, kept: list[Any]) -> None:
        for row in kept:
            for address in (page_of(row), url(type(row), "changelist"), url(type(row), "changelist") + "?q=meet"):
                assert "harbour" not in as_alice.get(address).content.decode(), address
            assert not as_alice.get(url(type(row), "changelist"), {"q": "meet"}).context["cl"].result_list
            assert "harbour" not in str(row)
            assert "•••• (22 characters)" in as_alice.get(page_of(row)).content.decode()

    def test_nothing_is_said_of_a_message_without_a_text(self, as_alice: Client, session: LinkSession) -> None:
        empty = Message.objects.create(session=session, message_id="true_1@c.us_A2")

        html = as_alice.get(page_of(empty)).content.decode()

        assert "••••" not in html
        assert "Read the text" not in html

    @pytest.mark.parametrize("lookup", ["contains", "startswith", "regex", "gt", "exact", "in", "length", "isnull"])
    def test_no_filter_spells_a_text_out(self, as_alice: Client, kept: list[Any], lookup: str) -> None:
        for row in kept:
            for field in bodies.KEPT[row._meta.label_lower]:
                for way in (f"{field}__{lookup}", f"{field}__lastMessage__body__{lookup}"):
                    answer = as_alice.get(url(type(row), "changelist"), {way: SECRET})
                    assert answer.status_code in {302, 400, 403}, way

    def test_nor_does_one_of_another_table(self, as_alice: Client, message: Message) -> None:
        for model, way in ((LinkSession, "messages__body__contains"), (Bridge, "events__payload__icontains")):
            assert as_alice.get(url(model, "changelist"), {way: "harbour"}).status_code in {302, 400, 403}

    def test_what_a_bridge_sends_is_masked_as_it_comes(
        self, as_alice: Client, portal: Portal, session: LinkSession
    ) -> None:
        receive(portal, session, GROUP | {"body": SECRET})
        portal.post("session_error", session, error="odd", quotedMsg={"caption": SECRET, "id": "A1", "pin": 4711})
        message, event = Message.objects.get(), WebhookEvent.objects.get()

        assert SECRET not in as_alice.get(page_of(message)).content.decode()
        html = as_alice.get(page_of(event)).content.decode()
        assert SECRET not in html
        assert "4711" not in html
        assert "&quot;odd&quot;" in html


class TestReading:
    def test_shows_the_text_in_this_answer_only(self, as_bob: Callable[..., Client], kept: list[Any]) -> None:
        bob = as_bob(*VIEWS, bodies.PERMISSION)
        for row in kept:
            answer = read(bob, row)
            assert answer.status_code == 200
            assert SECRET in answer.content.decode()
            assert "no-store" in answer["Cache-Control"]
            assert SECRET not in bob.cookies.output() + str(dict(bob.session))
            assert SECRET not in bob.get(page_of(row)).content.decode()
        assert "harbour.pdf" in read(bob, kept[0]).content.decode()

    def test_is_noted_with_who_and_what_and_without_the_text(
        self, as_bob: Callable[..., Client], bob: User, kept: list[Any]
    ) -> None:
        client = as_bob(*VIEWS, bodies.PERMISSION)
        for row in kept:
            read(client, row, **{"X-Request-ID": "r-17"})
        noted = AuditEntry.objects.filter(action__endswith=".read_body")
        assert {(entry.action, entry.actor_id, entry.object_id) for entry in noted} == {
            (f"{row._meta.model_name}.read_body", bob.pk, str(row.pk)) for row in kept
        }
        assert {entry.workspace_id for entry in noted} == {kept[0].session.account.workspace_id, None}
        assert "harbour" not in str(list(AuditEntry.objects.values()))

    def test_opening_the_dialog_notes_and_shows_nothing(self, as_alice: Client, kept: list[Any]) -> None:
        for row in kept:
            answer = as_alice.get(url(type(row), "read_body", row.pk))
            assert answer.status_code == 200
            assert "harbour" not in answer.content.decode()
        assert not AuditEntry.objects.filter(action__endswith=".read_body").exists()

    def test_without_the_permission_is_refused_and_the_page_says_why(
        self, as_bob: Callable[..., Client], kept: list[Any]
    ) -> None:
        bob = as_bob(*VIEWS)
        for row in kept:
            answer = read(bob, row)
            assert answer.status_code == 403
            assert SECRET not in answer.content.decode()
            html = bob.get(page_of(row)).content.decode()
            assert "Needs the permission “Can read the text of messages”. Ask an administrator." in html
        assert not AuditEntry.objects.filter(action__endswith=".read_body").exists()

    def test_in_another_workspace_is_not_found(self, message: Message) -> None:
        lead = User.objects.create(username="lead", is_staff=True, is_superuser=False)
        client = Client()
        client.force_login(lead)
        grant(lead, *VIEWS, bodies.PERMISSION)

        assert read(client, message).status_code == 404
        assert not AuditEntry.objects.filter(action__endswith=".read_body").exists()


def grant(user: User, *labels: str) -> None:
    permissions = apps.get_model("auth", "Permission")
    for label in labels:
        app, codename = label.split(".")
        user.user_permissions.add(permissions.objects.get(content_type__app_label=app, codename=codename))


class TestMaskingOfJson:
    @pytest.mark.parametrize(
        ("data", "shown"),
        [
            ({"reason": "LOGOUT", "session_id": "s1"}, {"reason": "LOGOUT", "session_id": "s1"}),
            ({"body": "hi"}, {"body": "•••• (2 characters)"}),
            ({"BODY": "h"}, {"BODY": "•••• (1 character)"}),
            ({"body": 1234}, {"body": "•••• (4 characters)"}),
            ({"body": "", "text": None, "caption": False}, {"body": "", "text": None, "caption": False}),
            ({"message_id": "A1", "messageId": "A1"}, {"message_id": "A1", "messageId": "A1"}),
            ({"message": {"said": "hi"}}, {"message": {"said": "•••• (2 characters)"}}),
            ({"message": {"chat": [["o"]]}}, {"message": {"chat": [["•••• (1 character)"]]}}),
            ({"last_message": {"from": "1@c.us", "ack": 3}}, {"last_message": {"from": "1@c.us", "ack": 3}}),
            ({"message": {"id": {"body": "hi"}}}, {"message": {"id": {"body": "•••• (2 characters)"}}}),
            ({"pollVotes": {"Red, please": True}}, {"pollVotes": {"•••• (11 characters)": True}}),
            ({"log": '{"body": "hi"}'}, {"log": "•••• (14 characters)"}),
            ([{"quotedMsg": {"x": {"y": "hi"}}}], [{"quotedMsg": {"x": {"y": "•••• (2 characters)"}}}]),
        ],
    )  # fmt: skip
    def test_hides_what_was_said_and_shows_the_rest(self, data: Any, shown: Any) -> None:
        assert bodies.masked(data) == shown

    def test_leaves_the_row_as_it_is(self, session: LinkSession) -> None:
        data = {"message": {"body": "hi"}}
        bodies.masked(data)
        assert data == {"message": {"body": "hi"}}


# Columns of free text or JSON in which no message's text is kept, and what is in them.
HOLD_NONE = {
    "accounts.AuditEntry.before": "fields that an action changed",
    "accounts.AuditEntry.after": "fields that an action changed",
    "accounts.Bridge.capabilities": "names of what it can do",
    "accounts.LinkSession.qr_svg": "a QR code",
    "accounts.Message.group": "who is in a group",
}


def test_a_new_column_that_may_hold_texts_is_not_forgotten() -> None:
    free = {
        f"{model._meta.label}.{field.name}"
        for app in ("accounts", "api", "webhooks")
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.fields
        if isinstance(field, models.JSONField) or type(field) is models.TextField
    }
    kept = {f"{apps.get_model(label)._meta.label}.{name}" for label, names in bodies.KEPT.items() for name in names}
    assert sorted(free - kept - set(HOLD_NONE)) == []
