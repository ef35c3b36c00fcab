"""The least that a server can do: read a request's body and answer; tell all sockets what one of them said."""

from typing import Any

ANSWER = b'{"success":true}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


sockets: set[Any] = set()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        return await socket(receive, send)
    if scope["type"] != "http":
        return None
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


async def socket(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    sockets.add(send)
    while (said := await receive())["type"] == "websocket.receive":
        for tell in list(sockets):
            await tell({"type": "websocket.send", "text": said["text"]})
    sockets.discard(send)
