"""The test vectors of docs/bridge-api.md, sent as they stand there at the time that they name."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import Bridge
from tests.support.portal import make_bridge

AT = 1795173039
BODY = (
    b'{"event":"session_authenticated","data":{"workspace_id":1,'
    b'"session_id":"webjs_1_1763600000_abcd1234","status":"authenticated"}}'
)
HEARTBEAT = b'{"library":"simulated","version":"1","boot":"boot-a","sessions":[]}'
EVENTS = "/api/whatsapp/webhooks/webjs"


@pytest.fixture(autouse=True)
def bridge(db: None, time_machine: Any) -> Bridge:
    time_machine.move_to(AT, tick=False)
    made = make_bridge("vector")
    made.credentials.create(kind="hmac", value="s3cret")
    return made


def send(method: str, path: str, body: bytes = b"", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"X-Timestamp": str(AT)}
    line: Any = {"REQUEST_URI": path}  # as servers pass it on
    return Client().generic(method, path, body, "application/json", headers=named, **line)


def test_version_1_with_all_that_an_unmodified_node_bridge_sends() -> None:
    signature = "7a6436f26be779b5eb3d7956c6aad5a54248e1d24389992552aaf81ec92c33db"
    others = {"X_Instance_Url": "http://localhost:3001", "User_Agent": "WhatsApp-WebJS-Service/1.0"}
    answer = send("POST", EVENTS, BODY, X_HMAC_Signature=signature, **others)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "unknown_session")


def test_version_2_of_an_event() -> None:
    signature = "4df801cb8eb548ea7a9a379a09b58beb7ca100e2ccb886fbb6037a8257d1e4e6"
    named = {"X_Event_Id": "evt-0001", "X_Bridge_Boot": "boot-a", "X_Bridge_Sequence": "7"}
    answer = send("POST", EVENTS, BODY, X_HMAC_Signature_V2=signature, **named)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "unknown_session")


def test_version_2_of_a_heartbeat_and_of_its_replay() -> None:
    signature = "70e3f8fbcfaa5eec333f5ae79a0826b3c29c393cfe58e5941cfdc721042c19ff"
    named = {"X_Bridge_Boot": "boot-a", "X_Bridge_Sequence": "1"}
    beats = [
        send("POST", "/api/whatsapp/bridges/heartbeat", HEARTBEAT, X_HMAC_Signature_V2=signature, **named)
        for _ in range(2)
    ]
    assert [beat.status_code for beat in beats] == [200, 409]


def test_version_2_of_a_question() -> None:
    signature = "296caa8d4ed75c9d959edda348f3a602907bc16a5ba694e12b20fee24d5d0839"
    path = "/api/whatsapp/accounts/active?workspace_id=1"
    assert send("GET", path, X_HMAC_Signature_V2=signature).json() == {"sessions": []}
    assert send("GET", path + "2", X_HMAC_Signature_V2=signature).status_code == 401


def test_version_2_of_a_path_with_encoded_characters() -> None:
    signature = "a245e10ef8da217423892d3c5b12b1b2b7e737cdcecae7e514f28cf8ee3f66ac"
    path = "/api/whatsapp/accounts/by-session/a%40b%7Ec?at=%C3%A9+1"
    assert send("GET", path, X_HMAC_Signature_V2=signature).status_code == 404  # it held; there is no such session
    for other in (path.replace("%7E", "~"), path.replace("+", "%20"), path.replace("%C3%A9", "%c3%a9")):
        assert send("GET", other, X_HMAC_Signature_V2=signature).status_code == 401
