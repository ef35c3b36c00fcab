"""What the desk cannot see: phones, and the sessions that a bridge really runs. The desk reaches it over real HTTP.

It behaves as the contract says a bridge does: webhooks overtake each other, a login on disk comes back without a
code, a session that was unlinked on the phone shows codes for ever, a crash takes all clients and no login, and a
start of what runs already makes a second client of it.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.support.misbehaving import Act, Conversation, MisbehavingBridge, Seen

QR = {"qr_text": "2@abc,def,ghi", "expires_in": 60, "is_regeneration": False}


@dataclass
class Client:
    state: str  # qr_scanning, authenticated, connected, disconnected: the bridge's own words
    phone: str = ""
    codes: int = 0


@dataclass
class Event:
    name: str
    session_id: str
    data: dict[str, Any]
    number: int
    boot: str


@dataclass
class World:
    """`numbered`: ours, which keeps what it could not deliver, and names its process; else a Node bridge."""

    node: MisbehavingBridge
    numbered: bool
    running: dict[str, Client] = field(default_factory=dict)
    logins: dict[str, str] = field(default_factory=dict)  # on disk: session id -> phone
    wanted: dict[str, None] = field(default_factory=dict)  # on disk: what it was told to run, and not to stop
    wire: list[Event] = field(default_factory=list)  # sent, and not yet there
    down: Act | None = None  # how it answers while it is
    boots: int = 1
    doubled: list[str] = field(default_factory=list)  # ids with a second client
    done: Counter[str] = field(default_factory=Counter)  # what came of the desk's orders

    def __post_init__(self) -> None:
        self.began, self.numbers = time.time(), itertools.count(1)
        self.node.lists = self._answer
        self.node.plays(self._answer)

    @property
    def is_up(self) -> bool:
        return self.down is None

    @property
    def boot(self) -> str:
        return f"boot-{self.boots}"

    # --- what the desk orders ---------------------------------------------------------------------
    def _answer(self, talk: Conversation, seen: Seen) -> None:
        if self.down:
            self.down(talk, seen)
        else:
            talk.answer(200, self._obey(seen))

    def _obey(self, seen: Seen) -> dict[str, Any]:
        parts = seen.path.strip("/").split("/")
        if seen.path == "/health":
            return self._health()
        if seen.method == "GET":
            return {"success": True, "sessions": self._rows(), "total": len(self.running)}
        if seen.method == "DELETE":
            self.stop(parts[2], logout=bool(seen.body.get("logout")))
            return {"success": True}
        return self._open(seen.body["session_id"]) if len(parts) == 2 else self._open(parts[2], anew=True)

    def _health(self) -> dict[str, Any]:
        named = {"boot": self.boot, "library": "world", "version": "1"} if self.numbered else {}
        return {"status": "healthy", "uptime": time.time() - self.began, **named}

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {"session_id": session_id, "workspace_id": 1, "status": client.state, "phone_number": client.phone or None}
            for session_id, client in self.running.items()
        ]

    def _open(self, session_id: str, *, anew: bool = False) -> dict[str, Any]:
        """A reconnect (`anew`) closes the client before it opens one; a start does not look."""
        if not anew and session_id in self.running and self.running[session_id].state != "disconnected":
            self.doubled.append(session_id)
        self.start(session_id)
        self.done["reconnected" if anew else "restored" if session_id in self.logins else "started"] += 1
        return {"success": True, "session_id": session_id, "status": self.running[session_id].state}

    def start(self, session_id: str) -> None:
        phone = self.logins.get(session_id)
        self.wanted[session_id] = None
        if phone is None:
            self.running[session_id] = Client("qr_scanning")
            self.show_code(session_id)
        else:
            self.running[session_id] = Client("connected", phone)
            self.say("session_authenticated", session_id, status="authenticated")
            self.say("session_ready", session_id, phone_number=phone, status="connected")

    def stop(self, session_id: str, *, logout: bool) -> None:
        self.running.pop(session_id, None)
        self.wanted.pop(session_id, None)
        if logout:
            self.logins.pop(session_id, None)

    # --- what people and phones do ----------------------------------------------------------------
    def show_code(self, session_id: str) -> None:
        self.running[session_id].codes += 1
        self.say("qr_code_generated", session_id, qr_count=self.running[session_id].codes, **QR)

    def scan(self, session_id: str, phone: str) -> None:
        self.running[session_id] = Client("authenticated", phone)
        self.logins[session_id] = phone
        self.say("session_authenticated", session_id, status="authenticated")

    def finish(self, session_id: str) -> None:
        client = self.running[session_id]
        client.state = "connected"
        self.say("session_ready", session_id, phone_number=client.phone, status="connected")

    def drop(self, session_id: str) -> None:
        self.running[session_id].state = "disconnected"
        self.say("session_disconnected", session_id, reason="NAVIGATION")

    def unlink(self, session_id: str) -> None:
        del self.logins[session_id]
        self.running[session_id] = Client("qr_scanning")
        self.say("session_disconnected", session_id, reason="LOGOUT")
        self.show_code(session_id)

    # --- what becomes of its process ----------------------------------------------------------------
    def crash(self, down: Act) -> None:
        """All clients are gone; what was sent and is not there, only ours has on disk."""
        self.down = down
        self.running.clear()
        if not self.numbered:
            self.wire.clear()

    def come_up(self) -> None:
        self.boots, self.began, self.down = self.boots + 1, time.time(), None

    def restore(self, sessions: Iterable[str]) -> None:
        for session_id in sessions:
            if session_id not in self.running:
                self.start(session_id)

    def vanish(self, session_id: str) -> None:
        """Its browser died, and nobody noticed."""
        del self.running[session_id]

    def in_state(self, *states: str) -> list[str]:
        return [key for key, client in self.running.items() if client.state in states]

    def say(self, name: str, session_id: str, **data: Any) -> None:
        self.wire.append(Event(name, session_id, data, next(self.numbers), self.boot))

    def take(self, choose: Callable[[int], int]) -> Event:
        return self.wire.pop(choose(len(self.wire)))
