"""What an engine is: the part that speaks to WhatsApp. The bridge around it keeps, signs and delivers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

# emit(event, data): returns when the event is on disk. `data` is without session_id and workspace_id: the
# bridge adds them as they were given. What a stopped client still emits is dropped.
Emit = Callable[[str, dict[str, object]], Awaitable[None]]


class EngineError(Exception):
    """The engine could not do it. The message goes to the portal: no phone numbers in it."""


@dataclass(frozen=True)
class ClientSpec:
    session_id: str
    account_id: int | str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class PairingCode:
    code: str  # ABCD-EFGH
    expires_in: int  # seconds


@dataclass(frozen=True)
class SentMessage:
    message_id: str
    timestamp: int  # Unix seconds


class Engine(Protocol):
    """Constructed as `EngineClass(data_dir, environ=...)`. Runs one client per session id at most.

    What a login needs lies in `<data_dir>/<engine name>/<session_id>/`, claimed (sessions/directories.py) while its
    client runs, so that it can be moved alone and never runs twice. Before there is a login nothing lies there: a
    directory that is empty means that a restore would ask the phone to scan again.

    Events: the names and fields of contract 1.3 and 5.1. After `session_expired` the client is gone.
    """

    library: str
    version: str
    capabilities: tuple[str, ...]

    def check_options(self, options: Mapping[str, object]) -> None:
        """Raises EngineError when it does not take these ("simulate" of POST /api/sessions)."""

    async def start(self, spec: ClientSpec, *, emit: Emit) -> None:
        """Returns when the client runs, before it is linked. With a stored login it logs in silently."""

    async def stop(self, session_id: str) -> None:
        """The client ends, the stored login stays. Unknown: nothing."""

    async def logout(self, session_id: str) -> None:
        """Unlinks at WhatsApp and forgets the stored login, running or not. Unknown: nothing. Raises when it could not;
        the client is ended all the same."""

    async def pairing_code(self, session_id: str, *, phone_number: str) -> PairingCode: ...

    async def send_text(self, session_id: str, *, recipient: str, text: str) -> SentMessage: ...

    async def close(self) -> None:
        """Ends every client, without events."""
