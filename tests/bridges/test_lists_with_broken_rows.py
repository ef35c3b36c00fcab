"""One row of a polled list that names no session costs no other row."""

import json
import logging
from typing import Any

import pytest

from accounts.bridges import client
from accounts.models import LinkSession, StraySession
from accounts.reconcile import polling
from tests.support import misbehaving
from tests.support.links import linked
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import make_bridge

__all__ = ["linked"]

NO_IDS: list[Any] = ["a\ud800b", "\udfff", "a\x00b", "", "x" * 192, "a\nb", None, 5, 1.5, True, [], {"id": "x"}]


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Any:
    return make_bridge("alpha", url=node.url)


def lists(node: MisbehavingBridge, *rows: Any) -> None:
    def act(talk: misbehaving.Conversation, seen: misbehaving.Seen) -> None:
        talk.answer(200, {"success": True, "sessions": list(rows)})

    node.lists = act


@pytest.mark.parametrize("session_id", NO_IDS, ids=lambda told: repr(told)[:12])
def test_a_row_whose_id_no_session_has_is_left_out(
    node: MisbehavingBridge, bridge: Any, linked: LinkSession, session_id: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lists(
        node,
        {"session_id": session_id, "status": "connected", "phone_number": "6281299999999"},
        {"session_id": linked.session_id, "status": "connected"},
        {"session_id": "somebody_elses", "status": "connected"},
    )
    with caplog.at_level(logging.WARNING):
        assert set(client.running_sessions(bridge)) == {linked.session_id, "somebody_elses"}
    assert f"bridge {bridge.pk}: 1 rows of its list name no session" in caplog.messages
    assert "6281299999999" not in json.dumps(caplog.messages)
    polling.poll(bridge.pk)
    linked.refresh_from_db()
    assert linked.last_seen_at is not None
    assert [stray.session_id for stray in StraySession.objects.all()] == ["somebody_elses"]


@pytest.mark.parametrize("row", [None, "webjs_1", 7, [], {}, {"status": "connected"}], ids=repr)
def test_so_is_what_is_no_row(node: MisbehavingBridge, bridge: Any, row: Any) -> None:
    lists(node, row, {"session_id": "x" * 191})
    assert set(client.running_sessions(bridge)) == {"x" * 191}
