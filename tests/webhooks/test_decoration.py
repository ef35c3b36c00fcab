"""An event is never lost for a detail: what decorates it is emptied or brought into range, and noted."""

from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, LinkSession, Message
from tests.support.chats import GROUP, PRIVATE, SENT, media, receive, stored_files
from tests.support.links import QR, READY, status_of
from tests.support.portal import Portal
from webhooks.models import WebhookEvent

SECONDS = 1795173042
OTHER_TYPES: list[Any] = [None, [], {}, True, ["a"], {"a": 1}]


def received(portal: Portal, session: LinkSession, message: dict[str, Any], event: str = "message_received") -> Message:
    answer = receive(portal, session, message, event)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "applied"), answer.content
    return Message.objects.get()


def raw_message(session: LinkSession, field: bytes) -> bytes:
    """A message of a bridge whose serialiser writes what ours cannot."""
    data = b'{"session_id":"%s","message":{"id":"m","body":"halo",%s}}' % (session.session_id.encode(), field)
    return b'{"event":"message_received","data":%s}' % data


class TestTimeOfAMessage:
    @pytest.mark.parametrize(
        ("timestamp", "seconds"),
        [
            (SECONDS * 1000, SECONDS),
            (SECONDS * 1000 + 250, SECONDS + 0.25),
            (SECONDS + 0.5, SECONDS + 0.5),
            (float(SECONDS), SECONDS),
            (str(SECONDS), SECONDS),
            (f"{SECONDS}000", SECONDS),
            (0, 0),
        ],
    )
    def test_is_read_in_seconds_milliseconds_and_fractions(
        self, portal: Portal, session: LinkSession, timestamp: Any, seconds: float
    ) -> None:
        message = received(portal, session, PRIVATE | {"timestamp": timestamp})
        assert message.sent_at is not None
        assert message.sent_at.timestamp() == seconds
        assert message.body == "halo"

    @pytest.mark.parametrize("timestamp", [*OTHER_TYPES, "soon", "", -1, 1e300, 2**63 - 1, 10**30, "nan", "inf"])
    def test_that_is_none_is_emptied(self, portal: Portal, session: LinkSession, timestamp: Any) -> None:
        message = received(portal, session, PRIVATE | {"timestamp": timestamp})
        assert (message.sent_at, message.body, message.emptied) == (None, "halo", "message.timestamp")

    def test_may_be_missing(self, portal: Portal, session: LinkSession) -> None:
        message = received(portal, session, {"id": "m", "body": "halo"})
        assert (message.sent_at, message.body, message.emptied) == (None, "halo", "")


class TestFlags:
    @pytest.mark.parametrize("value", [None, "maybe", 2, [], {}, -1, "", 1.5])
    def test_of_a_received_message_are_emptied(self, portal: Portal, session: LinkSession, value: Any) -> None:
        message = received(portal, session, PRIVATE | {"from_me": value, "has_media": value})
        assert (message.from_me, message.has_media) == (False, False)
        assert message.emptied == "message.from_me, message.has_media"

    @pytest.mark.parametrize("value", [None, "maybe", 2, [], {}, -1])
    def test_of_a_sent_message_leave_it_a_sent_one(self, portal: Portal, session: LinkSession, value: Any) -> None:
        assert received(portal, session, SENT | {"from_me": value}, "message_sent").from_me

    def test_a_sent_message_need_not_say_that_it_is_ours(self, portal: Portal, session: LinkSession) -> None:
        assert received(portal, session, {"id": "m", "body": "x"}, "message_sent").from_me

    def test_a_file_that_came_is_a_file(self, portal: Portal, session: LinkSession) -> None:
        message = received(portal, session, media(b"picture") | {"has_media": None})
        assert (message.has_media, message.media.read()) == (True, b"picture")


class TestTexts:
    @pytest.mark.parametrize("value", OTHER_TYPES)
    @pytest.mark.parametrize("name", ["from", "to", "body", "type", "chat_type"])
    def test_of_another_type_are_emptied(self, portal: Portal, session: LinkSession, name: str, value: Any) -> None:
        message = received(portal, session, PRIVATE | {name: value})
        assert message.message_id == PRIVATE["id"]
        assert message.emptied == f"message.{name}"

    def test_a_number_is_a_text(self, portal: Portal, session: LinkSession) -> None:
        message = received(portal, session, PRIVATE | {"body": 12345})
        assert (message.body, message.emptied) == ("12345", "")

    @pytest.mark.parametrize(("name", "column", "size"), [("from", "sender", 255), ("type", "type", 40)])
    def test_too_long_ones_are_cut(
        self, portal: Portal, session: LinkSession, name: str, column: str, size: int
    ) -> None:
        message = received(portal, session, PRIVATE | {name: "é" * 300})
        assert (getattr(message, column), message.emptied) == ("é" * size, f"message.{name}")


class TestGroups:
    @pytest.mark.parametrize("participants", [None, "all", 3, {}, True])
    def test_participants_that_are_no_list(self, portal: Portal, session: LinkSession, participants: Any) -> None:
        message = received(portal, session, GROUP | {"participants": participants})
        assert (message.body, message.group["group_name"]) == ("grp", "Team")
        assert message.emptied == "message.participants"

    def test_a_list_that_is_too_long_is_cut(self, portal: Portal, session: LinkSession) -> None:
        everybody = [f"62811{number:08d}@c.us" for number in range(30_000)]
        message = received(portal, session, GROUP | {"participants": everybody})
        kept = message.group["participants"]
        assert 1_024 < len(kept) < 30_000
        assert kept == everybody[: len(kept)]
        assert message.emptied == "message.participants"

    def test_a_participant_that_is_too_long_goes(self, portal: Portal, session: LinkSession) -> None:
        message = received(portal, session, GROUP | {"participants": ["x" * 200_000]})
        assert message.group["participants"] == []

    @pytest.mark.parametrize("name", ["group_name", "sender_name", "sender_phone", "group_id"])
    @pytest.mark.parametrize("value", [None, [], {"a": "b"}])
    def test_names_of_another_type(self, portal: Portal, session: LinkSession, name: str, value: Any) -> None:
        message = received(portal, session, GROUP | {name: value})
        assert (message.body, message.group[name], message.emptied) == ("grp", "", f"message.{name}")


class TestMedia:
    @pytest.mark.parametrize(
        "broken",
        [
            {},
            {"data": None},
            {"data": ""},
            {"data": "%%%"},
            {"data": "QUF"},
            {"data": ["QUFB"]},
            {"data": True},
            {"mimetype": "image/jpeg"},
            "QUFB",
            [],
            7,
        ],
        ids=str,
    )
    def test_that_is_broken_leaves_the_text(self, portal: Portal, session: LinkSession, broken: Any) -> None:
        message = received(portal, session, PRIVATE | {"has_media": True, "media": broken})
        assert (message.body, message.has_media, message.media.name) == ("halo", True, "")
        assert "message.media" in message.emptied.split(", ")
        assert stored_files() == []

    @pytest.mark.parametrize("value", [None, [], {}, 5.5])
    def test_keeps_its_file_whatever_its_labels_are(self, portal: Portal, session: LinkSession, value: Any) -> None:
        message = media(b"picture")
        message["media"] |= {"mimetype": value, "filename": value}
        assert received(portal, session, message).media.read() == b"picture"

    def test_the_text_is_kept_first_and_the_next_try_brings_the_file(
        self, portal: Portal, session: LinkSession, tmp_path: Any, settings: Any
    ) -> None:
        """A folder that is a file, as a disk that takes nothing: a Node bridge sends a 429 again."""
        settings.MEDIA_ROOT = tmp_path / "media"
        settings.MEDIA_ROOT.write_text("in the way")
        assert receive(portal, session, media(b"picture")).status_code == 429
        assert Message.objects.get().body == "halo"
        settings.MEDIA_ROOT.unlink()
        assert receive(portal, session, media(b"picture")).json()["outcome"] == "applied"
        assert Message.objects.get().media.read() == b"picture"
        assert receive(portal, session, media(b"picture")).json()["outcome"] == "no_change"

    def test_another_file_for_the_same_message_changes_nothing(self, portal: Portal, session: LinkSession) -> None:
        receive(portal, session, media(b"picture"))
        assert receive(portal, session, media(b"another")).json()["outcome"] == "no_change"
        assert Message.objects.get().media.read() == b"picture"
        assert len(stored_files()) == 1


class TestNumbers:
    @pytest.mark.parametrize(
        "digits", [b"9223372036854775808", b"-9223372036854775809", b"1e999", b"-1e999", b"9" * 10_000]
    )
    @pytest.mark.parametrize("name", [b"timestamp", b"has_media", b"nobody_reads_this", b"group_name"])
    def test_that_fit_no_column_are_emptied(
        self, portal: Portal, session: LinkSession, name: bytes, digits: bytes
    ) -> None:
        raw = raw_message(session, b'"%s":%s' % (name, digits))
        assert portal.send(raw).json()["outcome"] == "applied"
        assert Message.objects.get().body == "halo"

    def test_of_a_lifecycle_event_are_stored_as_null(self, portal: Portal, session: LinkSession) -> None:
        raw = b'{"event":"session_authenticated","data":{"session_id":"%s","x":[1,%s]}}'
        assert portal.send(raw % (session.session_id.encode(), b"9" * 30)).json()["outcome"] == "applied"
        assert WebhookEvent.objects.get().payload["x"] == [1, None]

    @pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
    def test_that_are_no_json_are_refused(self, portal: Portal, session: LinkSession, word: bytes) -> None:
        assert portal.send(raw_message(session, b'"timestamp":%s' % word)).status_code == 400
        assert Message.objects.count() == 0


class TestLifetimeOfACode:
    @pytest.mark.parametrize(
        ("expires_in", "seconds", "noted"),
        [
            (None, 60, "expires_in"),
            (19.5, 19, "expires_in"),
            (0, 60, "expires_in"),
            (60_000, 60, "expires_in"),
            (-5, 60, "expires_in"),
            (20_000.0, 20, "expires_in"),
            (1e300, 60, "expires_in"),
            (2**63 - 1, 60, "expires_in"),
            ("soon", 60, "expires_in"),
            ([], 60, "expires_in"),
            (True, 60, "expires_in"),
            (3600, 3600, ""),
            (3601, 3600, "expires_in"),
            (7200, 3600, "expires_in"),
            (9_999, 3600, "expires_in"),
            (10_000, 10, "expires_in"),
            ("20000", 20, "expires_in"),
            (7_200_000, 3600, "expires_in"),
            (0.5, 60, "expires_in"),
            (20, 20, ""),
        ],
    )
    def test_is_a_time_in_which_a_code_can_be_scanned(
        self, portal: Portal, session: LinkSession, expires_in: Any, seconds: int, noted: str
    ) -> None:
        before = timezone.now()
        assert portal.post("qr_code_generated", session, **QR | {"expires_in": expires_in}).status_code == 200
        session.refresh_from_db()
        assert session.qr_svg
        assert session.qr_expires_at is not None
        assert seconds <= (session.qr_expires_at - before).total_seconds() < seconds + 10
        assert WebhookEvent.objects.get().emptied == noted

    def test_counts_for_pairing_codes_too(self, portal: Portal, session: LinkSession) -> None:
        portal.post("pairing_code_generated", session, pairing_code="ABCD-EFGH", expires_in=None)
        session.refresh_from_db()
        assert session.pairing_code == "ABCD-EFGH"
        assert isinstance(session.pairing_code_expires_at, datetime)


class TestOtherEvents:
    @pytest.mark.parametrize("value", OTHER_TYPES)
    @pytest.mark.parametrize(
        ("event", "name"),
        [
            ("session_authenticated", "device_jid"),
            ("session_action_required", "kind"),
            ("session_action_required", "message"),
            ("session_disconnected", "reason"),
            ("session_error", "error"),
            ("session_reconnected", "timestamp"),
        ],
    )
    def test_are_kept(self, portal: Portal, session: LinkSession, event: str, name: str, value: Any) -> None:
        answer = portal.post(event, session, **{name: value})
        assert (answer.status_code, answer.json()["success"]) == (200, True)
        assert WebhookEvent.objects.get().emptied == ("" if name == "timestamp" else name)

    @pytest.mark.parametrize("name", ["platform", "device_jid"])
    @pytest.mark.parametrize("value", OTHER_TYPES)
    def test_ready_connects(
        self, portal: Portal, account: Account, session: LinkSession, name: str, value: Any
    ) -> None:
        portal.post("session_ready", session, **READY | {name: value})
        assert status_of(account) == Status.CONNECTED
        assert WebhookEvent.objects.get().emptied == name

    def test_more_than_the_inbox_keeps_is_no_reason_to_lose_a_code(self, portal: Portal, session: LinkSession) -> None:
        assert portal.post("qr_code_generated", session, **QR, junk="x" * 20_000).json()["outcome"] == "applied"
        assert "qr" not in WebhookEvent.objects.get().payload
