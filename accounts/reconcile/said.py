"""What a bridge said of itself and of its sessions, in a heartbeat or when polled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from accounts.bridges.client import Running
from accounts.models import ReconcileRun


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a bridge said; empty or None where it did not. `asked_at`: when it was polled, or its heartbeat came.

    `sign`: what its answers show of several processes. `heard_all`: the list is proven to be that of all of them.
    """

    listed: Mapping[str, Running]
    asked_at: datetime = field(default_factory=timezone.now)
    library: str = ""
    version: str = ""
    capacity: int | None = None
    capabilities: list[str] | None = None
    boot: str = ""
    booted_at: datetime | None = None
    draining: bool = False
    sign: ReconcileRun.Sign | None = None
    heard_all: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """The values that it gave, by the names of the bridge's columns."""
        names = ("library", "version", "boot", "booted_at", "capacity", "capabilities")
        told = {name: getattr(self, name) for name in names}
        return {name: value for name, value in told.items() if value not in ("", None)}
