"""docs/operations.md says what the code reads, answers and logs: whatever is new here must be explained there."""

import ast
import re
from collections.abc import Iterator
from typing import get_type_hints

import pytest

from accounts.models import Incident
from api import health
from bridge import settings as bridge_settings
from tests.support import ROOT
from tests.support.variables import calls_in, read_by_settings

DOC = (ROOT / "docs" / "operations.md").read_text()
ROOMS = ("accounts", "api", "webhooks", "linking", "sessions_admin", "bridge")


def rows_of(heading: str) -> Iterator[tuple[str, str]]:
    """The first two cells of every table row below the heading."""
    section = re.split(r"^#+ ", DOC.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    for row in re.findall(r"^\| (`.*)$", section, re.MULTILINE):
        first, second, *_ = row.split(" | ")
        yield first, second


def named_in(heading: str) -> set[str]:
    """What stands as code in the first column."""
    return {name for first, _second in rows_of(heading) for name in re.findall(r"`([^`]+)`", first)}


def documented() -> dict[str, str]:
    """Variable -> default, as the tables say."""
    return {name: default for names, default in rows_of("Environment") for name in re.findall(r"`([A-Z_]+)`", names)}


def test_every_variable_is_in_the_tables_and_no_other() -> None:
    of_bridge = bridge_settings.DEFAULTS.keys() | bridge_settings.REQUIRED.keys()
    assert documented().keys() == read_by_settings().keys() | of_bridge


def test_the_defaults_are_those_of_the_code() -> None:
    numbers = {name: default for name, default in read_by_settings().items() if default}
    expected = numbers | bridge_settings.DEFAULTS | dict.fromkeys(bridge_settings.REQUIRED, "required")
    assert len(numbers) > 10
    assert {name: documented()[name] for name in expected} == expected


def lines_logged() -> set[str]:
    calls = [call for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) for call in calls_in(str(path))]
    ours = [call for call in calls if re.match(r"log\.(\w+)$", ast.unparse(call.func))]
    return {re.sub("%[a-z]", "…", ast.literal_eval(call.args[0])) for call in ours}


def test_every_line_that_we_log_is_explained_and_no_other() -> None:
    assert len(lines_logged()) > 30
    assert named_in("Log lines") == lines_logged()


@pytest.mark.parametrize("part", [health.Parts, health.WorkerState, health.LaneState, health.BridgeRow])
def test_every_field_of_health_is_explained(part: type) -> None:
    said_elsewhere = {"name", "lanes"}
    assert get_type_hints(part).keys() - named_in("What it says of itself") <= said_elsewhere


@pytest.mark.parametrize("kind", Incident.Kind)
def test_every_incident_has_a_runbook(kind: Incident.Kind) -> None:
    runbook = " ".join(DOC.partition("\n## Runbook\n")[2].split())
    assert f'"{kind.label}"' in runbook
