"""Handlers that fail until they are mended, and the sweep when their events are due."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.pairing.bridge_events import Outcome
from webhooks.events.handlers import LIFECYCLE, Handler
from webhooks.inbox import process
from webhooks.models import WebhookEvent

State = WebhookEvent.State
Breaker = Callable[[str, Exception], list[int]]


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Breaker:
    """breaks(event, error): from now on its handler raises. Gives a list that grows by one for each run."""

    def install(event: str, error: Exception) -> list[int]:
        runs: list[int] = []

        def broken(session_pk: int, data: dict[str, Any]) -> Outcome:
            runs.append(session_pk)
            raise error

        monkeypatch.setitem(LIFECYCLE, event, Handler(LIFECYCLE[event].shape, broken))
        return runs

    return install


@pytest.fixture
def mends(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    intact = dict(LIFECYCLE)
    return lambda event: monkeypatch.setitem(LIFECYCLE, event, intact[event])


def let_it_become_due() -> None:
    WebhookEvent.objects.filter(state__in=[State.RECEIVED, State.FAILED]).update(due_at=timezone.now())


def sweep_when_due() -> int:
    let_it_become_due()
    return process.sweep()
