"""NUL and half surrogates, which no database takes, are replaced in texts, and refused where they decide."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.bridges import client
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession, Message, StraySession, Workspace
from api.models import WorkspaceToken
from tests.support.chats import GROUP, PRIVATE, receive
from tests.support.links import READY, link, linked, status_of
from tests.support.lists import shows
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import Portal
from tests.support.signing import signed_headers
from webhooks.models import StoredReport, WebhookEvent

__all__ = ["linked"]

BROKEN = ["\x00", "\ud83d", "\udc00", "\udfff\ud800", "a\x00b\x00c", "\x00\ud800", "😀\ud83d"]


def mended(text: str) -> str:
    return "".join("\ufffd" if char == "\x00" or "\ud800" <= char <= "\udfff" else char for char in text)


def send(portal: Portal, event: str, data: dict[str, Any]) -> Any:
    """As JavaScript writes it: what is no character is escaped."""
    return portal.send(json.dumps({"event": event, "data": data}).encode())


def post(path: str, body: dict[str, Any]) -> Any:
    headers = {"X-API-Key": "alpha-key"}
    return Client().post(f"/api/whatsapp/{path}", json.dumps(body), "application/json", headers=headers)


@pytest.mark.parametrize("broken", BROKEN, ids=ascii)
class TestInTexts:
    def test_of_a_message(self, portal: Portal, session: LinkSession, broken: str) -> None:
        names = ["body", "from", "type", "group_name", "sender_name"]
        message = GROUP | dict.fromkeys(names, broken) | {"participants": [broken, "6281@c.us"]}
        answer = send(portal, "message_received", {"session_id": session.session_id, "message": message})
        assert answer.json()["outcome"] == "applied"
        stored = Message.objects.get()
        assert (stored.body, stored.sender, stored.type) == (mended(broken),) * 3
        assert stored.group["group_name"] == mended(broken)
        assert stored.group["participants"] == [mended(broken), "6281@c.us"]
        assert stored.message_id == GROUP["id"]

    def test_of_a_lifecycle_event_wherever_they_stand(self, portal: Portal, session: LinkSession, broken: str) -> None:
        data = {"session_id": session.session_id, "message": broken, "x": [{"y": [broken]}]}
        assert send(portal, "session_error", data).json()["outcome"] == "no_change"
        payload = WebhookEvent.objects.get().payload
        assert (payload["message"], payload["x"]) == (mended(broken), [{"y": [mended(broken)]}])

    def test_of_a_reason(self, portal: Portal, account: Account, session: LinkSession, broken: str) -> None:
        link(portal, session)
        send(portal, "session_disconnected", {"session_id": session.session_id, "reason": f"401: {broken}"})
        assert status_of(account) == Status.LOGGED_OUT

    def test_of_a_heartbeat(self, bridge: Bridge, broken: str) -> None:
        sessions = [{"session_id": "nobody", "status": broken, "phone_number": broken}]
        raw, headers = signed_headers(
            "alpha-hmac", json.dumps({"library": broken, "version": "1", "sessions": sessions}).encode()
        )
        answer = Client().post("/api/whatsapp/bridges/heartbeat", raw, "application/json", headers=headers)
        assert answer.status_code == 200
        bridge.refresh_from_db()
        assert bridge.library == mended(broken)

    def test_of_a_restore_that_failed(self, linked: LinkSession, broken: str) -> None:
        path = f"sessions/{linked.session_id}/mark-disconnected"
        assert post(path, {"reason": f"cannot read {broken}"}).status_code == 200
        linked.refresh_from_db()
        assert linked.lost_reason == f"cannot read {mended(broken)}"

    def test_of_a_report_of_chats(self, bridge: Bridge, broken: str) -> None:
        body = {"session_id": "s", "chats": [{"id": "1@c.us", "name": broken}]}
        raw, headers = signed_headers("alpha-hmac", json.dumps(body).encode())
        answer = Client().post("/api/whatsapp/chats/sync", raw, "application/json", headers=headers)
        assert answer.status_code == 200
        assert StoredReport.objects.get().payload["chats"][0]["name"] == mended(broken)

    def test_of_a_report_of_a_cleanup(self, bridge: Bridge, broken: str) -> None:
        assert post("cleanup-logs", {"action": "x", "status": "y", "reason": broken}).status_code == 200
        assert StoredReport.objects.get().payload["reason"] == mended(broken)


@pytest.mark.parametrize("broken", BROKEN, ids=ascii)
class TestWhereTheyDecide:
    def test_in_a_name_an_id_and_a_key(self, portal: Portal, session: LinkSession, broken: str) -> None:
        mine = {"session_id": session.session_id}
        for event, data in [
            (f"session_ready{broken}", mine | READY),
            ("session_ready", READY | {"session_id": session.session_id + broken}),
            ("message_received", mine | {"message": PRIVATE | {"id": broken}}),
            ("message_read", mine | {"message_id": f"m{broken}"}),
            ("message_edited", mine | {"message_id": f"m{broken}", "body": "x"}),
            ("session_ready", mine | READY | {broken: 1}),
            ("session_ready", mine | READY | {"x": [{"y": {broken: 1}}]}),
        ]:
            answer = send(portal, event, data)
            assert answer.status_code == 400, (event, data)
            assert answer.json()["error"]["code"] in {"NUL_IN_TEXT", "LONE_SURROGATE"}
        assert (WebhookEvent.objects.count(), Message.objects.count()) == (0, 0)

    def test_in_the_session_ids_of_a_heartbeat(self, bridge: Bridge, broken: str) -> None:
        raw, headers = signed_headers(
            "alpha-hmac", json.dumps({"library": "x", "version": "1", "sessions": [{"session_id": broken}]}).encode()
        )
        answer = Client().post("/api/whatsapp/bridges/heartbeat", raw, "application/json", headers=headers)
        assert answer.status_code == 400
        assert StraySession.objects.count() == 0

    def test_in_what_operators_ask(self, workspace: Workspace, bridge: Bridge, broken: str) -> None:
        token = WorkspaceToken.issue(workspace.pk, name="shop", scopes="read link manage")
        headers = {"Authorization": f"Bearer {token}"}
        for path, body in [
            ("pair", {"label": broken}),
            ("accounts/cleanup", {"workspace_id": workspace.pk, "cleanup_statuses": ["failed"], "x": broken}),
        ]:
            answer = Client().post(f"/api/whatsapp/{path}", json.dumps(body), "application/json", headers=headers)
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] in {"NUL_IN_TEXT", "LONE_SURROGATE"}


def test_every_message_of_a_group_with_a_broken_name_is_kept(portal: Portal, session: LinkSession) -> None:
    for number in range(5):
        message = GROUP | {"id": f"m{number}", "group_name": "Team \x00"}
        assert receive(portal, session, message).status_code == 200
    assert Message.objects.count() == 5


def test_the_texts_of_a_list_are_mended(bridge: Bridge, node: MisbehavingBridge) -> None:
    Bridge.objects.update(url=node.url)
    shows(node, {"session_id": "a", "status": "co\x00\ud800"}, {"session_id": "b", "workspace_id": "\udc00"})
    listed = client.running_sessions(Bridge.objects.get())
    assert (listed["a"].status, listed["b"].workspace_id) == ("co\ufffd\ufffd", "\ufffd")


def test_what_only_looks_like_them_is_left_alone(portal: Portal, session: LinkSession) -> None:
    text = "😀 \ufffd \\u0000 𝒽 \x01"
    send(portal, "message_received", {"session_id": session.session_id, "message": PRIVATE | {"body": text}})
    assert Message.objects.get().body == text
