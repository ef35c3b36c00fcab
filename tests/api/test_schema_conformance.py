"""What fits the schema, or nearly does: no 5xx, no status that the schema does not name, no answer of another form."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from accounts.models import Account, Bridge, LinkSession, Pulse, Workspace
from accounts.pairing import attempts
from api.models import ALL_SCOPES, WorkspaceToken
from tests.api.routes import described_operations


@pytest.fixture
def open_connection(db: None) -> Iterator[None]:
    """As Django's own test client does: the end of a request must not close the test's connection."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def conformance(open_connection: None) -> Any:
    """Not imported at the top: it takes as long as to collect half of the suite."""
    from tests.api import conformance

    return conformance


@pytest.fixture
def world(conformance: Any, workspace: Workspace, account: Account, bridge: Bridge, settings: Any) -> None:
    for name in ("MESSAGES", "LIFECYCLE", "QR", "OTHERS", "STRANGERS"):
        setattr(settings, f"LINKDESK_LIMIT_{name}", 1_000_000)  # so that what is asked is what is tested
    Bridge.objects.update(capacity=1_000_000, last_heard_at=timezone.now())
    OrmQ.objects.all().delete()
    Schedule.objects.all().delete()
    Pulse.objects.create(lane="default", answered_at=timezone.now() + timedelta(hours=1))  # for as long as this takes
    session = attempts.start(account.pk, trigger="test")
    LinkSession.objects.filter(pk=session.pk).update(session_id=conformance.SESSION)
    WorkspaceToken.issue(workspace.pk, scopes=ALL_SCOPES)
    WorkspaceToken.objects.update(token_hash=hashlib.sha256(conformance.TOKEN.encode()).hexdigest())


# Not `schema.parametrize()`: it gives all operations one id, of which xdist runs one.
@pytest.mark.django_db
@pytest.mark.timeout(300)
@pytest.mark.parametrize("operation", described_operations())
def test_the_api_does_as_its_schema_says(operation: str, conformance: Any, world: None) -> None:
    conformance.try_examples(operation)
