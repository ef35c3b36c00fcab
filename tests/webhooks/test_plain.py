"""The door reads an event as its serializer does, or leaves it to that one."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.serializers import checked
from tests.support.chats import GROUP, PRIVATE, SENT
from webhooks.door.arrivals import READERS
from webhooks.door.plain import NotPlain
from webhooks.events.handlers import MESSAGES

ORDINARY: dict[str, dict[str, Any]] = {
    "message_received": {"session_id": "s", "workspace_id": 1, "message": GROUP},
    "message_sent": {"session_id": "s", "message": SENT, "source": "message_create_event"},
    "message_status_updated": {"session_id": "s", "message_id": "m", "ack_level": 2},
    "message_delivered": {"session_id": "s", "message_id": "m"},
    "message_read": {"session_id": "s", "message_id": "m", "status": "read"},
}
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5
)  # strict_json lets in no other
# Bridges have sent such values in these places: other types, other lengths, and the edges of what is understood.
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([-2, -1, 0, 10, 11, 100_000_000_000, 100_000_000_001, 1795173042000, 1795173042.5, "1795173042"]),
    TEXT,
    st.sampled_from([15, 16, 17, 40, 41, 255, 256]).map(lambda length: "x" * length),
    st.lists(TEXT, max_size=3),
    st.just(["628222222222@c.us"] * 6_000),
    st.dictionaries(TEXT, st.integers(), max_size=2),
    st.just({"data": "QUFB", "mimetype": "image/jpeg", "filename": "a"}),
)


@pytest.mark.parametrize("event", ORDINARY)
def test_what_bridges_send_is_plain(event: str) -> None:
    assert READERS[event](ORDINARY[event]) == checked(MESSAGES[event].shape, ORDINARY[event])


def test_so_is_a_message_of_one_person() -> None:
    data = {"session_id": "s", "message": PRIVATE}
    assert READERS["message_received"](data) == checked(MESSAGES["message_received"].shape, data)


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
@pytest.mark.parametrize("event", ORDINARY)
def test_what_is_read_is_what_the_serializer_reads(event: str, data: st.DataObject) -> None:
    told: dict[str, Any] = copy.deepcopy(
        ORDINARY[event] if event != "message_received" else {"session_id": "s", "message": GROUP}
    )
    for part in [told, told.get("message", {})]:
        for name in data.draw(st.sets(st.sampled_from(sorted([*part, "media", "ack_level", "chat_type"])), max_size=3)):
            if data.draw(st.booleans()):
                part[name] = data.draw(ODD)
            else:
                part.pop(name, None)
        if not isinstance(told.get("message", {}), dict):
            break
    try:
        fields = READERS[event](told)
    except NotPlain:
        return
    assert fields == checked(MESSAGES[event].shape, told)
