"""An edit and a revoke are events of their own; statuses and newsletters are kinds of their own."""

import itertools
from functools import partial
from typing import Any

import pytest

from accounts.models import LinkSession, Message, Workspace
from tests.support.chats import GROUP, PRIVATE, SENT, media, receive, stored_files
from tests.support.portal import Portal
from tests.support.races import assert_nothing_raised, at_once

AT = 1795173050
MESSAGE_ID = str(PRIVATE["id"])
STATUS: dict[str, Any] = PRIVATE | {"id": "false_status@broadcast_3EB0AA_6281999@c.us", "from": "status@broadcast"}
NEWSLETTER: dict[str, Any] = PRIVATE | {
    "id": "false_120363000000000009@newsletter_3EB0BB",
    "from": "120363000000000009@newsletter",
}


def edit(portal: Portal, session: LinkSession, body: Any, at: Any = AT, message_id: str = MESSAGE_ID) -> str:
    answer = portal.post("message_edited", session, message_id=message_id, body=body, timestamp=at)
    assert answer.status_code == 200
    return str(answer.json()["outcome"])


def revoke(portal: Portal, session: LinkSession, at: Any = AT, message_id: str = MESSAGE_ID) -> str:
    answer = portal.post("message_revoked", session, message_id=message_id, timestamp=at)
    assert answer.status_code == 200
    return str(answer.json()["outcome"])


def edited_at() -> float:
    moment = Message.objects.get().edited_at
    assert moment is not None
    return moment.timestamp()


class TestEdits:
    def test_the_new_text_takes_the_place_of_the_old_one(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        assert edit(portal, session, "halo semua") == "applied"
        assert (Message.objects.get().body, edited_at()) == ("halo semua", AT)

    @pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
    def test_the_newest_wins_in_whatever_order_they_come(
        self, portal: Portal, session: LinkSession, order: tuple[int, ...]
    ) -> None:
        receive(portal, session, PRIVATE)
        for number in order:
            edit(portal, session, f"text {number}", AT + number)
        assert (Message.objects.get().body, edited_at()) == ("text 2", AT + 2)

    @pytest.mark.parametrize("order", list(itertools.permutations(["message", "edit 1", "edit 2", "ack"])))
    def test_what_comes_before_its_message_waits_for_it(
        self, portal: Portal, session: LinkSession, order: tuple[str, ...]
    ) -> None:
        steps = {
            "message": partial(receive, portal, session, PRIVATE),
            "edit 1": partial(edit, portal, session, "first", AT),
            "edit 2": partial(edit, portal, session, "second", AT + 0.5),
            "ack": partial(portal.post, "message_read", session, message_id=PRIVATE["id"]),
        }
        for name in order:
            steps[name]()
        message = Message.objects.get()
        assert (message.delivered, message.body, message.ack_level) == (True, "second", 4)
        assert (message.sender, message.from_me) == (PRIVATE["from"], False)

    def test_of_two_of_one_second_the_last_that_came_counts(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        for body in ("first", "second", "Second", "second ", "sécond"):
            assert edit(portal, session, body) == "applied"
            assert edit(portal, session, body) == "no_change"  # it was sent again
            assert (Message.objects.get().body, edited_at()) == (body, AT)

    @pytest.mark.parametrize("at", [None, "soon", -1, {}])
    @pytest.mark.parametrize("waits", [True, False])
    def test_one_that_follows_one_without_a_time_counts(
        self, portal: Portal, session: LinkSession, time_machine: Any, at: Any, waits: bool
    ) -> None:
        time_machine.move_to(AT + 0.9, tick=False)
        if not waits:
            receive(portal, session, PRIVATE)
        assert edit(portal, session, "without a time", at) == "applied"
        assert edit(portal, session, "in the same second", AT) == "applied"
        if waits:
            receive(portal, session, PRIVATE)
        assert (Message.objects.get().body, edited_at()) == ("in the same second", AT)

    def test_the_message_again_does_not_undo_it(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        edit(portal, session, "edited")
        assert receive(portal, session, PRIVATE).json()["outcome"] == "no_change"
        assert receive(portal, session, PRIVATE | {"body": "other"}).json()["outcome"] == "no_change"
        assert Message.objects.get().body == "edited"

    @pytest.mark.parametrize("body", [None, [], {}, True, ["x"]])
    def test_one_without_a_text_changes_nothing(self, portal: Portal, session: LinkSession, body: Any) -> None:
        receive(portal, session, PRIVATE)
        assert edit(portal, session, body) == "no_change"
        assert (Message.objects.get().body, Message.objects.get().edited_at) == ("halo", None)

    @pytest.mark.parametrize("body", ["", "😀" * 500, "  two  spaces\n"])
    def test_any_text_is_one(self, portal: Portal, session: LinkSession, body: str) -> None:
        receive(portal, session, PRIVATE)
        assert edit(portal, session, body) == "applied"
        assert Message.objects.get().body == body

    @pytest.mark.parametrize("at", [None, "soon", -1, {}, 1e300])
    def test_one_without_a_time_is_of_now(self, portal: Portal, session: LinkSession, at: Any) -> None:
        receive(portal, session, PRIVATE)
        edit(portal, session, "old", 1)
        assert edit(portal, session, "new", at) == "applied"
        assert Message.objects.get().body == "new"

    def test_one_in_milliseconds_is_compared_as_seconds(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        edit(portal, session, "old", AT * 1000)
        assert edit(portal, session, "new", AT + 1) == "applied"
        assert (Message.objects.get().body, edited_at()) == ("new", AT + 1)

    @pytest.mark.parametrize("message_id", ["", None, "x" * 256, ["a"], {}])
    def test_whose_message_has_no_id_is_refused(self, portal: Portal, session: LinkSession, message_id: Any) -> None:
        for event in ("message_edited", "message_revoked"):
            assert portal.post(event, session, message_id=message_id, body="x").status_code == 400
        assert Message.objects.count() == 0

    def test_the_caption_of_a_file(self, portal: Portal, session: LinkSession) -> None:
        edit(portal, session, "caption")
        receive(portal, session, media(b"picture"))
        message = Message.objects.get()
        assert (message.body, message.media.read()) == ("caption", b"picture")


class TestRevokes:
    def test_mark_the_message_and_leave_its_text(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        assert revoke(portal, session) == "applied"
        message = Message.objects.get()
        assert message.revoked_at is not None
        assert (message.revoked_at.timestamp(), message.body) == (AT, "halo")

    def test_twice_is_once(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        revoke(portal, session)
        assert revoke(portal, session, AT + 60) == "no_change"
        revoked_at = Message.objects.get().revoked_at
        assert revoked_at is not None
        assert revoked_at.timestamp() == AT

    def test_before_its_message_it_waits(self, portal: Portal, session: LinkSession) -> None:
        assert revoke(portal, session) == "applied"
        assert not Message.objects.get().delivered
        assert receive(portal, session, SENT | {"id": PRIVATE["id"]}, "message_sent").json()["outcome"] == "applied"
        message = Message.objects.get()
        assert (message.delivered, message.from_me, message.revoked_at is not None) == (True, True, True)

    @pytest.mark.parametrize("at", [None, "soon", [], -1, 10**30])
    def test_one_without_a_time_is_of_now(self, portal: Portal, session: LinkSession, at: Any) -> None:
        receive(portal, session, PRIVATE)
        assert revoke(portal, session, at) == "applied"
        assert Message.objects.get().revoked_at is not None

    def test_an_edit_that_comes_late_is_still_its_text(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        revoke(portal, session, AT + 9)
        assert edit(portal, session, "edited") == "applied"
        assert Message.objects.get().revoked_at is not None


@pytest.mark.django_db(transaction=True)
def test_all_at_once_end_as_if_they_had_come_in_order(portal: Portal, session: LinkSession) -> None:
    works = [partial(edit, portal, session, f"text {number}", AT + number) for number in range(12)]
    works += [partial(receive, portal, session, PRIVATE), partial(revoke, portal, session)]
    assert_nothing_raised(at_once(works))
    message = Message.objects.get()
    assert (message.delivered, message.body, edited_at()) == (True, "text 11", AT + 11)
    assert message.revoked_at is not None


class TestKinds:
    @pytest.mark.parametrize(
        ("message", "event", "kind"),
        [
            (STATUS, "message_received", "status"),
            (STATUS | {"chat_type": None}, "message_received", "status"),
            (STATUS | {"from": None}, "message_received", "status"),
            (STATUS | {"from": "6281@c.us", "to": "status@broadcast", "id": "x"}, "message_sent", "status"),
            (SENT | {"from": "status@broadcast", "to": "status@broadcast", "id": "x"}, "message_sent", "status"),
            (NEWSLETTER, "message_received", "newsletter"),
            (NEWSLETTER | {"chat_type": "group"}, "message_received", "newsletter"),
            (NEWSLETTER | {"from": {}, "to": 1}, "message_received", "newsletter"),
            (GROUP, "message_received", "group"),
            (GROUP | {"chat_type": "private"}, "message_received", "group"),
            (PRIVATE, "message_received", "private"),
            (PRIVATE | {"chat_type": "broadcast"}, "message_received", "private"),
            (PRIVATE | {"chat_type": "group"}, "message_received", "group"),
            (PRIVATE | {"chat_type": "Status"}, "message_received", "status"),
            (PRIVATE | {"chat_type": "channel"}, "message_received", "newsletter"),
            (PRIVATE | {"chat_type": " CHANNEL "}, "message_received", "newsletter"),
            (PRIVATE | {"from": "STATUS@broadcast", "id": "x"}, "message_received", "status"),
            (PRIVATE | {"from": "Status@Broadcast", "id": "x", "chat_type": "group"}, "message_received", "status"),
            (PRIVATE | {"from": "1763600000@broadcast", "id": "x"}, "message_received", "broadcast"),
            (SENT | {"to": "x@broadcast", "id": "x", "chat_type": "private"}, "message_sent", "broadcast"),
            (PRIVATE | {"from": "12036@NEWSLETTER", "id": "x"}, "message_received", "newsletter"),
            (PRIVATE | {"from": "6281@C.US", "id": "x", "chat_type": "odd"}, "message_received", "private"),
            (PRIVATE | {"from": "1844@lid", "id": "x", "chat_type": ""}, "message_received", "private"),
            (PRIVATE | {"from": "6281@s.whatsapp.net", "id": "x", "chat_type": ""}, "message_received", "private"),
            (PRIVATE | {"from": "x", "to": "y", "id": "z"}, "message_received", "private"),
            (PRIVATE | {"from": "x", "to": "y", "id": "z", "chat_type": "odd"}, "message_received", ""),
        ],
    )
    def test_are_told_by_the_chat(
        self, portal: Portal, session: LinkSession, message: dict[str, Any], event: str, kind: str
    ) -> None:
        assert receive(portal, session, message, event).json()["outcome"] == "applied"
        assert Message.objects.get().chat_type == kind

    @pytest.mark.parametrize(
        ("setting", "left_out", "kept"),
        [("keeps_statuses", STATUS, NEWSLETTER), ("keeps_newsletters", NEWSLETTER, STATUS)],
    )
    def test_may_be_left_out_each(
        self, portal: Portal, session: LinkSession, setting: str, left_out: dict[str, Any], kept: dict[str, Any]
    ) -> None:
        Workspace.objects.filter(pk=session.account.workspace_id).update(**{setting: False})
        for event in ("message_received", "message_sent"):
            assert receive(portal, session, left_out, event).json()["outcome"] == "left_out"
        for message in (kept, PRIVATE, GROUP):
            assert receive(portal, session, message).json()["outcome"] == "applied"
        assert not Message.objects.filter(message_id=left_out["id"]).exists()

    def test_what_concerns_one_that_was_left_out_waits_for_nothing(self, portal: Portal, session: LinkSession) -> None:
        Workspace.objects.update(keeps_statuses=False)
        picture = media(b"picture") | {"id": STATUS["id"], "from": STATUS["from"]}
        assert receive(portal, session, picture).json()["outcome"] == "left_out"
        assert edit(portal, session, "x", message_id=STATUS["id"]) == "left_out"
        assert revoke(portal, session, message_id=STATUS["id"]) == "left_out"
        acked = portal.post("message_status_updated", session, message_id=STATUS["id"], ack_level=3)
        assert acked.json()["outcome"] == "left_out"
        assert portal.post("message_read", session, message_id=STATUS["id"]).json()["outcome"] == "left_out"
        assert (Message.objects.count(), stored_files()) == (0, [])

    @pytest.mark.parametrize("setting", ["keeps_statuses", "keeps_newsletters"])
    @pytest.mark.parametrize("message_id", ["3EB0AA", "A1_B2", "😀"])
    def test_an_edit_whose_message_is_not_here_and_may_be_one_leaves_no_text(
        self, portal: Portal, session: LinkSession, setting: str, message_id: str
    ) -> None:
        Workspace.objects.update(**{setting: False})
        kind = {"keeps_statuses": STATUS, "keeps_newsletters": NEWSLETTER}[setting]
        assert receive(portal, session, kind | {"id": message_id}).json()["outcome"] == "left_out"
        assert edit(portal, session, "a secret", message_id=message_id) == "left_out"
        portal.post("message_read", session, message_id=message_id)
        revoke(portal, session, message_id=message_id)
        assert edit(portal, session, "a secret", message_id=message_id) == "left_out"
        assert not Message.objects.exclude(body="").exists()

    def test_an_edit_of_a_message_that_is_here_counts_in_such_a_workspace(
        self, portal: Portal, session: LinkSession
    ) -> None:
        Workspace.objects.update(keeps_statuses=False, keeps_newsletters=False)
        receive(portal, session, PRIVATE | {"id": "3EB0AA"})
        assert edit(portal, session, "edited", message_id="3EB0AA") == "applied"
        assert edit(portal, session, "waits for its message") == "applied"  # its id names a private chat

    def test_another_workspaces_setting_is_its_own(self, portal: Portal, session: LinkSession) -> None:
        Workspace.objects.create(name="Toko Bob", keeps_statuses=False, keeps_newsletters=False)
        for message in (STATUS, NEWSLETTER):
            assert receive(portal, session, message).json()["outcome"] == "applied"


class TestWhatCouldNotBeRead:
    """It is named at the message, whichever of them came first."""

    @pytest.mark.parametrize("first", [True, False])
    def test_of_an_edit_an_ack_and_a_revoke(self, portal: Portal, session: LinkSession, first: bool) -> None:
        steps = [
            partial(receive, portal, session, PRIVATE | {"type": None}),
            partial(edit, portal, session, "text", "soon"),
            partial(revoke, portal, session, {}),
            partial(portal.post, "message_status_updated", session, message_id=MESSAGE_ID, ack_level="many"),
        ]
        for step in steps if first else reversed(steps[:3]):
            step()
        noted = Message.objects.get().emptied
        assert set(noted.split(", ")) == {"message.type", "timestamp"} | ({"ack_level"} if first else set())

    @pytest.mark.parametrize("level", [None, "many", 2.5, 11, [], True])
    def test_an_ack_without_a_level_only_leaves_its_note(
        self, portal: Portal, session: LinkSession, level: Any
    ) -> None:
        acked = partial(portal.post, "message_status_updated", session, message_id=MESSAGE_ID, ack_level=level)
        assert acked().json()["outcome"] == "no_change"
        assert not Message.objects.exists()
        receive(portal, session, PRIVATE)
        assert acked().json()["outcome"] == "no_change"
        assert (Message.objects.get().ack_level, Message.objects.get().emptied) == (None, "ack_level")

    def test_twice_it_is_named_once(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        for number in range(3):
            edit(portal, session, f"text {number}", None)
        assert Message.objects.get().emptied == "timestamp"

    def test_an_edit_without_a_text_is_noted(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, PRIVATE)
        assert edit(portal, session, ["x"]) == "no_change"
        assert (Message.objects.get().body, Message.objects.get().emptied) == ("halo", "body")
