"""Writes the audit. A caller records what it does within the transaction that does it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from accounts.access.scope import workspace_of
from accounts.models import AuditEntry, User


@dataclass(frozen=True)
class Origin:
    """Where an action comes from: a request has an address and an id, a command has neither."""

    address: str = ""
    request_id: str = ""


NOWHERE = Origin()
_written: ContextVar[int] = ContextVar("audit_written", default=0)
_origin: ContextVar[Origin] = ContextVar("audit_origin", default=NOWHERE)


@contextmanager
def comes_from(origin: Origin) -> Iterator[None]:
    """Say where the actions of this block come from."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def record(
    action: str,
    *,
    actor: User | None = None,
    who: str = "",
    of: Model | None = None,
    workspace_id: int | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    refused: str = "",
) -> AuditEntry:
    """Note that `actor` (or the program or command `who`) did `action` to the row `of`, or was `refused` it."""
    origin = _origin.get()
    _written.set(_written.get() + 1)
    return AuditEntry.objects.create(
        action=action,
        actor=actor,
        who=(who or (actor.get_username() if actor else ""))[:200],
        workspace_id=workspace_id if workspace_id is not None else workspace_of(of),
        model=of._meta.label_lower if of else "",
        object_id=str(of.pk) if of else "",
        object_name=str(of)[:200] if of else "",
        before=_as_text(before),
        after=_as_text(after),
        reason=reason[:300],
        refused=refused[:300],
        address=origin.address,
        request_id=origin.request_id,
    )


def written() -> int:
    """How many entries this thread has written so far, also those that were taken back."""
    return _written.get()


def _as_text(values: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in (values or {}).items()}
