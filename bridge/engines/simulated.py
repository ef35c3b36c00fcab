"""The simulated engine: phones that scan by themselves, for demonstrations, tests and load."""

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.engines.base import ClientSpec, Emit, EngineError, PairingCode, SentMessage
from bridge.engines.simulated_knobs import changed, from_environ
from bridge.engines.simulated_login import LoginFiles, move_old_logins
from bridge.engines.simulated_phone import SimulatedPhone
from bridge.logs import place_of
from bridge.sessions.directories import Claim, claim

log = logging.getLogger("bridge.simulated")

# The letters are without 0, I, O and U, which people misread.
CODE_LETTERS = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
CODE_EXPIRES_IN = 180  # whatsapp-web.js asks for a new one after 180,000 ms


@dataclass
class Client:
    phone: SimulatedPhone
    claim: Claim
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def run(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    async def end(self) -> None:
        """End the client. One of its own tasks may call this."""
        others = self.tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        try:
            await asyncio.gather(*others, return_exceptions=True)
        finally:
            self.claim.release()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("simulated phone broke error=%s", place_of(error))


class SimulatedEngine:
    library = "simulated"
    version = "1.0.0"
    capabilities: tuple[str, ...] = ("qr", "pairing_code", "logout")

    def __init__(self, data_dir: Path, *, environ: Mapping[str, str]) -> None:
        self._knobs = from_environ(environ)
        self._logins = data_dir / "simulated"
        self._logins.mkdir(parents=True, exist_ok=True, mode=0o700)
        move_old_logins(self._logins)
        self._clients: dict[str, Client] = {}

    def check_options(self, options: Mapping[str, object]) -> None:
        changed(self._knobs, options)

    async def start(self, spec: ClientSpec, *, emit: Emit) -> None:
        if spec.session_id in self._clients:
            raise EngineError("A client for this session runs already")
        knobs = changed(self._knobs, spec.options)
        held = claim(self._logins / spec.session_id)
        client = Client(SimulatedPhone(spec, knobs=knobs, emit=emit, files=LoginFiles(held.path)), held)
        self._clients[spec.session_id] = client
        client.run(self._live(spec.session_id, client=client))
        if knobs.crash_after >= 0:
            client.run(client.phone.crash())

    async def stop(self, session_id: str) -> None:
        client = self._clients.pop(session_id, None)
        if client:
            await client.end()

    async def logout(self, session_id: str) -> None:
        await self.stop(session_id)
        if (self._logins / session_id).exists():
            held = claim(self._logins / session_id)
            LoginFiles(held.path).remove()
            held.release()

    async def pairing_code(self, session_id: str, *, phone_number: str) -> PairingCode:
        """The simulated person types it on that phone when they would have scanned: after `scan_after`."""
        self._client(session_id).phone.pairing_phone = phone_number
        letters = "".join(secrets.choice(CODE_LETTERS) for _ in range(8))
        return PairingCode(f"{letters[:4]}-{letters[4:]}", CODE_EXPIRES_IN)

    async def send_text(self, session_id: str, *, recipient: str, text: str) -> SentMessage:
        client = self._client(session_id)
        sent = await client.phone.send(recipient, text=text)
        sender = client.phone.online_as
        if sender and sender != recipient:
            await self._arrive(sent, recipient=recipient, sender=sender, text=text)
        client.run(client.phone.acknowledge(sent, recipient=recipient))
        client.run(client.phone.change_mind(sent, text=text))
        return sent

    async def close(self) -> None:
        for session_id in list(self._clients):
            await self.stop(session_id)

    async def _arrive(self, sent: SentMessage, *, recipient: str, sender: str, text: str) -> None:
        for session_id in list(self._clients):
            client = self._clients.get(session_id)  # it may be stopped while another client gets its message
            if client and client.phone.online_as == recipient:
                await client.phone.receive(sent, sender=sender, text=text)

    def _client(self, session_id: str) -> Client:
        client = self._clients.get(session_id)
        if client is None:
            raise EngineError("No client runs for this session")
        return client

    async def _live(self, session_id: str, *, client: Client) -> None:
        """Run a client. An expired one is removed here; a stopped one was removed by `stop`."""
        try:
            await client.phone.live()
        except Exception as error:
            # The login may be unreadable, or the disk full. A disconnect is sent: the session must not look well.
            log.error("simulated phone broke session=%s error=%s", session_id, place_of(error))
            await client.phone.tell("session_disconnected", {"reason": "ENGINE_ERROR"})
        if self._clients.get(session_id) is client:
            del self._clients[session_id]
            await client.end()
