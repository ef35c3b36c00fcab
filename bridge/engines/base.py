"""The interface of engines. An engine speaks to WhatsApp; the bridge around it stores, signs and delivers events."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

# emit(event, data) returns when the event is on disk. `data` is without session_id and workspace_id: the
# bridge adds them as they were given. Events that a stopped client still emits are dropped.
Emit = Callable[[str, dict[str, object]], Awaitable[None]]


class EngineError(Exception):
    """The engine could not do it. The message goes to the portal, so it must not contain phone numbers."""


class RestrictedError(EngineError):
    """WhatsApp refuses the message: this account may not write to new people at the moment (its error 463)."""


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

    A login's files are in `<data_dir>/<engine name>/<session_id>/`, which is claimed (sessions/directories.py) while
    its client runs, so that it can be moved alone and never runs twice. Before there is a login the directory must be
    empty: an empty one means that a restore would ask the phone to scan again.

    Its events have the names and fields of contract 1.3 and 5.1. After `session_expired` the client is gone.
    """

    library: str
    version: str
    capabilities: tuple[str, ...]

    def check_options(self, options: Mapping[str, object]) -> None:
        """Raises EngineError when it does not accept these ("simulate" of POST /api/sessions)."""

    async def start(self, spec: ClientSpec, *, emit: Emit) -> None:
        """Returns when the client runs, before it is linked. With a stored login it logs in without a scan."""

    async def stop(self, session_id: str) -> None:
        """The client ends, and the stored login stays. An unknown session is ignored."""

    async def logout(self, session_id: str) -> None:
        """Unlinks at WhatsApp and deletes the stored login, running or not. An unknown session is ignored. Raises when
        it could not; the client is ended all the same."""

    async def pairing_code(self, session_id: str, *, phone_number: str) -> PairingCode: ...

    async def send_text(self, session_id: str, *, recipient: str, text: str) -> SentMessage:
        """Raises RestrictedError where WhatsApp refuses it with the error 463: the portal is told by an event."""

    async def close(self) -> None:
        """Ends every client, without events."""
