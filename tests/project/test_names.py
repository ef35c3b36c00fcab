"""No name is renamed that others have written down: bridges, customers' programs, operators, rows of the database.

`tests/fixtures/names.json` holds them. A new name is added there together with what it names; one that goes is a change
that users notice, and CHANGELOG.md tells of it.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.core.management import get_commands
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.jobs.schedules import JOBS
from accounts.lifecycle import EndReason, Status
from accounts.models import BridgeOrder, Incident, StraySession
from accounts.pairing.bridge_events import Outcome
from tests.support import ROOT
from tests.support.refusals import CODES
from tests.support.variables import read_by_settings
from webhooks.models import UnmatchedTraffic, WebhookEvent

APPS = ("accounts", "api", "webhooks")
FILE = ROOT / "tests" / "fixtures" / "names.json"
WRITTEN_DOWN: dict[str, list[str]] = json.loads(FILE.read_text())


def columns() -> Iterator[str]:
    for label in APPS:
        for model in apps.get_app_config(label).get_models(include_auto_created=True):
            yield from (f"{model._meta.db_table}.{field.column}" for field in model._meta.local_concrete_fields)


def paths(resolver: Any = None, prefix: str = "") -> Iterator[str]:
    """Of all that answers outside the admin."""
    for pattern in (resolver or get_resolver()).url_patterns:
        here = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver) and not here.startswith("admin/"):
            yield from paths(pattern, here)
        elif isinstance(pattern, URLPattern):
            yield here


NAMES: dict[str, Callable[[], Any]] = {
    "columns": columns,
    "commands": lambda: (name for name, app in get_commands().items() if app in APPS),
    "end reasons": lambda: EndReason.values,
    "error codes": lambda: CODES,
    "event states": lambda: WebhookEvent.State.values,
    "incidents": lambda: Incident.Kind.values,
    "order kinds": lambda: BridgeOrder.Kind.values,
    "order states": lambda: BridgeOrder.State.values,
    "outcomes": lambda: [*Outcome, *UnmatchedTraffic.Reason.values, *StraySession.Outcome.values],
    "paths": paths,
    "permissions": lambda: Permission.objects.filter(content_type__app_label__in=APPS).values_list(
        "codename", flat=True
    ),
    "schedules": lambda: (job.name for job in JOBS),
    "settings": lambda: read_by_settings(),
    "statuses": lambda: Status.values,
}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", NAMES)
def test_no_name_that_others_have_written_down_is_gone(kind: str) -> None:
    assert set(WRITTEN_DOWN[kind]) - {str(name) for name in NAMES[kind]()} == set()


def test_every_kind_is_written_down() -> None:
    assert WRITTEN_DOWN.keys() == NAMES.keys()
    assert all(WRITTEN_DOWN.values())
