"""Chat messages: each one a row, whatever order the bridge's ten sockets bring them in."""

import hashlib
import itertools
import os
from typing import Any

import pytest
from django.conf import settings

from accounts.models import Account, LinkSession, Message
from accounts.pairing import attempts
from accounts.pairing.attempts import May
from tests.support.chats import GROUP, PRIVATE, SENT, media, receive, stored_files
from tests.support.links import READY
from tests.support.portal import Portal
from webhooks.models import UnmatchedTraffic, WebhookEvent


class TestText:
    def test_a_received_message(self, portal: Portal, session: LinkSession) -> None:
        answer = receive(portal, session, PRIVATE)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "applied")
        message = Message.objects.get()
        assert message.session == session
        assert (message.message_id, message.sender, message.recipient) == (
            PRIVATE["id"],
            PRIVATE["from"],
            PRIVATE["to"],
        )
        assert (message.body, message.type, message.chat_type) == ("halo", "chat", "private")
        assert (message.from_me, message.has_media, message.ack_level) == (False, False, None)
        assert message.sent_at is not None
        assert message.sent_at.timestamp() == 1795173042  # seconds, not milliseconds

    def test_it_goes_straight_into_its_table(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        assert WebhookEvent.objects.count() == 0

    def test_a_sent_message(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, SENT, "message_sent")
        message = Message.objects.get()
        assert (message.from_me, message.body) == (True, "from my phone")

    def test_a_group_message_keeps_who_is_in_it(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, GROUP)
        message = Message.objects.get()
        assert message.chat_type == "group"
        assert message.group["group_name"] == "Team"
        assert message.group["participants"] == ["628222222222@c.us", "628333333333@c.us"]
        assert message.group["sender_phone"] == "6281999"

    @pytest.mark.parametrize("sender", ["184467440737095@lid", "status@broadcast"])
    def test_ids_that_are_no_phone_numbers(self, portal: Portal, session: LinkSession, sender: str) -> None:
        receive(portal, session, PRIVATE | {"from": sender, "id": f"false_{sender}_AA"})
        assert Message.objects.get().sender == sender

    @pytest.mark.parametrize("text", ["😀 sudah bayar 🧾", "ہیلو", "𝒽𝒶𝓁𝑜", "", "  two  spaces\n\n", "x" * 65_536])
    def test_text_is_kept_as_it_was_sent(self, portal: Portal, session: LinkSession, text: str) -> None:
        assert receive(portal, session, PRIVATE | {"body": text}).status_code == 200
        assert Message.objects.get().body == text

    def test_ids_are_compared_byte_for_byte(self, portal: Portal, session: LinkSession) -> None:
        for message_id in ("abc", "ABC", "abc ", "ábc"):
            receive(portal, session, PRIVATE | {"id": message_id})
        assert Message.objects.count() == 4

    def test_the_same_message_twice_is_one_row(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        again = receive(portal, session, PRIVATE | {"body": "edited on the way?"})
        assert (again.status_code, again.json()["outcome"]) == (200, "no_change")
        assert Message.objects.get().body == "halo"

    def test_the_same_id_in_another_session_is_another_message(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        receive(portal, session, PRIVATE)
        receive(portal, attempts.start(account.pk, trigger="test", may=May.RENEW), PRIVATE)
        assert Message.objects.count() == 2

    @pytest.mark.parametrize(
        "broken",
        [
            {},
            {"id": ""},
            {"id": None},
            {"id": "x" * 256},
            {"id": ["a"]},
            "text",
            None,
        ],
        ids=str,
    )
    def test_what_is_no_message_is_refused(self, portal: Portal, session: LinkSession, broken: Any) -> None:
        answer = receive(portal, session, broken)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_FIELD")
        assert Message.objects.count() == 0


class TestSessions:
    def test_messages_come_before_ready(self, portal: Portal, session: LinkSession) -> None:
        portal.post("session_authenticated", session)
        receive(portal, session, PRIVATE)
        portal.post("session_ready", session, **READY)
        assert Message.objects.count() == 1

    def test_messages_of_an_ended_session_are_kept(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        attempts.force_reset(account.pk)
        receive(portal, session, PRIVATE)
        portal.post("message_status_updated", session, message_id="m", ack_level=2, status="sent", timestamp=1)
        assert Message.objects.count() == 2

    def test_messages_of_an_unknown_session_are_counted(self, portal: Portal, session: LinkSession) -> None:
        assert receive(portal, "webjs_1_1_nobody00", PRIVATE).status_code == 200
        assert Message.objects.count() == 0
        assert UnmatchedTraffic.objects.get().reason == "unknown_session"

    def test_media_of_an_unknown_session_is_not_stored(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, "webjs_1_1_nobody00", media(b"stranger"))
        assert stored_files() == []


class TestMedia:
    def test_a_picture(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, media(b"\xff\xd8\xff not really a picture"))
        message = Message.objects.get()
        assert message.has_media
        assert (message.media_type, message.media_name) == ("image/jpeg", "image_1795173042370")
        assert message.media.read() == b"\xff\xd8\xff not really a picture"

    def test_a_file_of_16_megabytes(self, portal: Portal, session: LinkSession) -> None:
        """One body of 21.3 MB, as the contract has it."""
        content = os.urandom(16 * 1024 * 1024)
        assert receive(portal, session, media(content, "video/mp4")).json()["outcome"] == "applied"
        stored = Message.objects.get().media.read()
        assert hashlib.sha256(stored).digest() == hashlib.sha256(content).digest()

    def test_the_same_media_twice_is_one_file(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, media(b"picture"))
        receive(portal, session, media(b"picture"))
        assert len(stored_files()) == 1

    def test_a_download_that_failed_at_the_bridge(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE | {"has_media": True})
        message = Message.objects.get()
        assert message.has_media
        assert not message.media

    @pytest.mark.parametrize("name", ["../../../etc/passwd", "a/b\\c", "😀.jpg", ""])
    def test_its_name_is_only_a_label(self, portal: Portal, session: LinkSession, name: str) -> None:
        receive(portal, session, media(b"picture", filename=name))
        assert Message.objects.get().media_name == name
        (file,) = stored_files()
        assert file.relative_to(settings.MEDIA_ROOT).parts[:2] == ("messages", str(session.pk))

    @pytest.mark.parametrize("data", ["%%%", "QUFB\nQUFB", "QUF", "données"])
    def test_bad_base64_writes_no_file(self, portal: Portal, session: LinkSession, data: str) -> None:
        message = media(b"") | {"media": {"data": data, "mimetype": "image/jpeg", "filename": "x"}}
        assert receive(portal, session, message).json()["outcome"] == "applied"
        assert Message.objects.get().emptied == "message.media"
        assert stored_files() == []


class TestAcks:
    @pytest.mark.parametrize("level", [-1, 0, 1, 2, 3, 4])
    def test_the_level_is_what_counts_and_not_the_word(self, portal: Portal, session: LinkSession, level: int) -> None:
        """The bridge's word is one step behind WhatsApp's meaning."""
        receive(portal, session, SENT, "message_sent")
        word = {2: "sent", 3: "delivered", 4: "read"}.get(level, "pending")
        portal.post("message_status_updated", session, message_id=SENT["id"], status=word, ack_level=level)
        assert Message.objects.get().ack_level == level

    @pytest.mark.parametrize("order", list(itertools.permutations([-1, 2, 4])))
    def test_an_ack_only_moves_up(self, portal: Portal, session: LinkSession, order: tuple[int, ...]) -> None:
        receive(portal, session, SENT, "message_sent")
        for level in order:
            portal.post("message_status_updated", session, message_id=SENT["id"], status="x", ack_level=level)
        assert Message.objects.get().ack_level == 4

    @pytest.mark.parametrize(("event", "level"), [("message_delivered", 3), ("message_read", 4)])
    def test_delivered_and_read(self, portal: Portal, session: LinkSession, event: str, level: int) -> None:
        receive(portal, session, SENT, "message_sent")
        portal.post(event, session, message_id=SENT["id"], recipient="6281234567890@c.us", timestamp=1795173043)
        assert Message.objects.get().ack_level == level

    def test_read_before_delivered(self, portal: Portal, session: LinkSession) -> None:
        portal.post("message_read", session, message_id=SENT["id"], recipient="x")
        portal.post("message_delivered", session, message_id=SENT["id"], recipient="x")
        assert Message.objects.get().ack_level == 4

    def test_an_ack_before_its_message_waits_for_it(self, portal: Portal, session: LinkSession) -> None:
        portal.post("message_status_updated", session, message_id=SENT["id"], status="sent", ack_level=2)
        assert not Message.objects.get().delivered
        assert receive(portal, session, SENT, "message_sent").json()["outcome"] == "applied"
        message = Message.objects.get()
        assert (message.delivered, message.body, message.ack_level) == (True, "from my phone", 2)

    @pytest.mark.parametrize("level", [None, "read", 99, 1.5, True, [3], {}, -2, "", 10**30])
    def test_a_level_that_is_none_changes_nothing(self, portal: Portal, session: LinkSession, level: Any) -> None:
        answer = portal.post("message_status_updated", session, message_id="m", status="x", ack_level=level)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "no_change")
        assert Message.objects.count() == 0

    def test_an_ack_without_a_level_changes_nothing(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, SENT, "message_sent")
        portal.post("message_status_updated", session, message_id=SENT["id"], status="read")
        assert Message.objects.get().ack_level is None


def test_every_text_column_takes_four_byte_characters(portal: Portal, session: LinkSession) -> None:
    receive(portal, session, GROUP | {"from": "😀", "group_name": "😀", "type": "😀", "id": "😀"})
    message = Message.objects.get()
    assert (message.sender, message.type, message.message_id, message.group["group_name"]) == ("😀",) * 4
