"""The suite in several processes at once (pytest-xdist), each with services of its own.

pyproject.toml names this on the command line, so that it is read before the settings are. pytest-django gives each
process a database; here it gets a database of Redis, for budgets, caches and channels are shared by name. What the
processes find out is told to the one that prints the summary.
"""

import gc
import os
from collections import Counter
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

_REPORTS: list[dict[str, Any]] = []


def _own_redis(url: str, worker: str) -> str:
    """'redis://host/0' -> 'redis://host/3' for the worker gw2: Redis has sixteen."""
    return urlsplit(url)._replace(path=f"/{int(worker.removeprefix('gw')) + 1}").geturl()


if (_worker := os.environ.get("PYTEST_XDIST_WORKER")) and os.environ.get("REDIS_URL"):
    os.environ["REDIS_URL"] = _own_redis(os.environ["REDIS_URL"], _worker)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Half of the suite's time is spent waiting for processes and clocks; `-n logical` is for what does not wait."""
    cores = os.cpu_count() or 1
    return min(cores if config.option.numprocesses == "logical" else 2 * cores, 15)  # Redis has sixteen databases


def report(config: pytest.Config, **findings: Any) -> None:
    """Tell plain values to whoever asks `reports_of` for them in the process that prints the summary."""
    if hasattr(config, "workeroutput"):
        config.workeroutput.update(findings)
    else:
        _REPORTS.append(findings)


def reports_of(name: str) -> list[Any]:
    """One for each process that ran tests, once all have ended."""
    return [findings[name] for findings in _REPORTS if name in findings]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a slow test begin first, so that no process is left alone with one at the end.

    xdist runs what has one id once: two tests of one id would be one, unseen.
    """
    twice = [nodeid for nodeid, number in Counter(item.nodeid for item in items).items() if number > 1]
    if twice:
        raise pytest.UsageError(f"Several tests are called {', '.join(twice)}")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What is there by now stays to the end: the garbage collector need not go through it again and again."""
    gc.freeze()


def pytest_deselected(items: list[pytest.Item]) -> None:
    """The closing line counts them, but a worker's are not told to the process that prints it."""
    for item in items:
        if hasattr(item.config, "workeroutput"):
            item.config.workeroutput.setdefault("deselected", []).append(item.nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    findings = getattr(node, "workeroutput", {})
    if error or "secrets" not in findings:
        findings = {"secrets": [f"{node.gateway.id} died, and what it found with it"]}
    if not reports_of("deselected"):  # all workers collect the same
        items = [SimpleNamespace(nodeid=each) for each in findings.get("deselected", [])]
        node.config.pluginmanager.get_plugin("terminalreporter").pytest_deselected(items)
    _REPORTS.append(findings)
