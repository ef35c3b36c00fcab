"""A bridge that does as it is told, also wrong: a real HTTP server that remembers what it got."""

import contextlib
import json
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    query: dict[str, str]
    body: Any  # None where there was none


class MisbehavingBridge(ThreadingHTTPServer):
    """`seen` has every request; `plays` says how it answers; `running` is what its session list names."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.hosts: list[str] = []  # as the Host headers name it
        self.running: set[str] = set()
        self.clients: Counter[str] = Counter()  # how often it made one for a session id
        self.doubled: set[str] = set()  # ids that had a client already when they got one: a Node bridge runs both
        self.leaving: set[str] = set()  # what it was told to stop, and has not yet
        self.says: dict[str, str] = {}  # the status of a session, where it is not qr_scanning
        self.stopping = threading.Event()
        self.lists: Act = list_sessions
        self._acts: deque[Act] = deque([well])
        self._turn = threading.Lock()
        super().__init__(("127.0.0.1", 0), Conversation)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def commands(self) -> list[tuple[str, str]]:
        """What it was told to do; asking for its list is no command."""
        return [(seen.method, seen.path) for seen in self.seen if seen.method != "GET"]

    def plays(self, *acts: "Act") -> None:
        """One act for each command, the last one for all that follow."""
        self._acts = deque(acts)

    def next_act(self) -> "Act":
        with self._turn:
            return self._acts.popleft() if len(self._acts) > 1 else self._acts[0]

    def make_client(self, session_id: str) -> None:
        if session_id in self.running:
            self.doubled.add(session_id)
        self.clients[session_id] += 1
        self.running.add(session_id)

    def finish(self) -> None:
        """With what it was slow to stop."""
        self.running -= self.leaving
        self.leaving.clear()

    def handle_error(self, *_: Any) -> None:
        """A caller that hung up is what some of these acts are about."""


class Conversation(BaseHTTPRequestHandler):
    server: MisbehavingBridge

    def do_GET(self) -> None:
        self._play(self.server.lists)

    def do_POST(self) -> None:
        self._play(self.server.next_act())

    def do_DELETE(self) -> None:
        self._play(self.server.next_act())

    def _play(self, act: "Act") -> None:
        address = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = Seen(self.command, address.path, dict(parse_qsl(address.query)), json.loads(raw) if raw else None)
        self.server.seen.append(seen)
        self.server.hosts.append(self.headers["Host"])
        act(self, seen)

    def answer(self, status: int, body: Any, **headers: str) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(raw)), "Connection": "close"} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass


Act = Callable[[Conversation, Seen], None]


def well(talk: Conversation, seen: Seen) -> None:
    talk.answer(200, {"success": True, "session_id": "x", "status": "qr_scanning"})


def faithful(talk: Conversation, seen: Seen) -> None:
    """Runs what it is told to run, and stops what it is told to stop."""
    if seen.method == "DELETE":
        talk.server.running.discard(seen.path.rpartition("/")[2])
    elif seen.path == "/api/sessions":
        talk.server.make_client(seen.body["session_id"])
    well(talk, seen)


def carries_it_out(answer: "Act") -> "Act":
    """A start is carried out, whatever becomes of its answer."""

    def act(talk: Conversation, seen: Seen) -> None:
        if seen.method == "POST":
            talk.server.make_client(seen.body["session_id"])
        answer(talk, seen)

    act.__name__ = f"carries_it_out_and_{answer.__name__}"
    return act


def stops_late(talk: Conversation, seen: Seen) -> None:
    """It stops it when the test says so, and nobody is told."""
    if seen.method == "DELETE":
        talk.server.leaving.add(seen.path.rpartition("/")[2])
        drops_the_line(talk, seen)
    else:
        faithful(talk, seen)


def list_sessions(talk: Conversation, seen: Seen) -> None:
    rows = [
        {"session_id": session_id, "status": talk.server.says.get(session_id, "qr_scanning")}
        for session_id in sorted(talk.server.running)
    ]
    talk.answer(200, {"success": True, "sessions": rows, "total": len(rows)})


def status(code: int) -> Act:
    def act(talk: Conversation, seen: Seen) -> None:
        talk.answer(code, {"error": f"told to answer {code}"})

    act.__name__ = f"status_{code}"
    return act


def knows_only(key: str) -> Act:
    def act(talk: Conversation, seen: Seen) -> None:
        known = (seen.body or seen.query).get("api_key") == key
        (well if known else status(401))(talk, seen)

    return act


def hangs(talk: Conversation, seen: Seen) -> None:
    talk.server.stopping.wait(30)


def drops_the_line(talk: Conversation, seen: Seen) -> None:
    """A reset after the request was read: it may have been carried out."""
    talk.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.connection.close()


def says_html(talk: Conversation, seen: Seen) -> None:
    talk.answer(200, b"<html>Welcome to nginx!</html>", Content_Type="text/html")


def says_a_list(talk: Conversation, seen: Seen) -> None:
    talk.answer(200, [])


def is_garbled(talk: Conversation, seen: Seen) -> None:
    talk.answer(200, b"this was never compressed", Content_Encoding="gzip")


def redirects(talk: Conversation, seen: Seen) -> None:
    talk.answer(307, b"", Location=f"{talk.server.url}/elsewhere")


def never_ends(talk: Conversation, seen: Seen) -> None:
    talk.send_response(200)
    talk.end_headers()
    while not talk.server.stopping.is_set():
        talk.wfile.write(b" " * 65536)  # until the caller hangs up


def drips(talk: Conversation, seen: Seen) -> None:
    """Never silent for long enough to time out."""
    talk.send_response(200)
    talk.end_headers()
    while not talk.server.stopping.wait(0.05):
        talk.wfile.write(b" ")


def drips_its_headers(talk: Conversation, seen: Seen) -> None:
    """As above, and the body never begins."""
    talk.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not talk.server.stopping.wait(0.05):
        talk.wfile.write(b"x")


NEVER_ANSWER = {hangs, drips, drips_its_headers}


@contextlib.contextmanager
def misbehaving_bridge() -> Iterator[MisbehavingBridge]:
    server = MisbehavingBridge()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
