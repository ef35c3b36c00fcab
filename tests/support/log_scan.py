"""Reads every line that the run logs, as production would write it, and fails the run over what must not be there.

Written from what the tests know, not from what `accounts/logs/redaction.py` looks for: every token that was made in the
run, the secrets of the tests' bridges, and numbers, codes and JIDs wherever they stand. What our own code logs must be
clean before it is redacted.
"""

import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from accounts.logs.format import JsonLines
from tests.support.workers import report, reports_of

OURS = {"accounts", "api", "webhooks", "linking", "sessions_admin", "config", "bridge"}
PATTERNS = {
    # All phones of the tests are Indonesian. Not inside a hexadecimal id, nor as the last group of a UUID.
    "phone number": re.compile(r"(?<![0-9a-zA-Z])(?<![0-9a-f]{4}-)62\d{6,13}(?![0-9a-zA-Z])|\+62[\d -]{6,}"),
    "JID": re.compile(r"@(?:s\.whatsapp\.net|c\.us|g\.us|lid)\b"),
    "QR text": re.compile(r"\b\d@[A-Za-z0-9+/=]{2,},|data:image/\w+;base64,\w"),
    # Not as a step of a path: schemathesis tries words out of the tests as session ids.
    "bridge secret": re.compile(r"(?<![\w/-])(?:(?:alpha|beta|gamma|delta)-(?:hmac|key)|s3cret|test-api-key)\b"),
    "token": re.compile(r"\bld_[\w-]{20,}|/link/[\w-]{20,}|[Bb]earer (?!\[)\S"),
}
WORD = re.compile(r"[\w-]{20,}")


class Scan(logging.Handler):
    """`found` has a line for each: where it was logged, by whom, and what kind of secret. Never the secret."""

    def __init__(self) -> None:
        super().__init__(level=logging.INFO)
        self.found: list[str] = []
        self.lines = 0
        self.tokens: set[str] = set()
        self.line = JsonLines()

    def emit(self, record: logging.LogRecord) -> None:
        test = os.environ.get("PYTEST_CURRENT_TEST", "outside a test")
        self.read(self.line.format(record), f"{test}, logger {record.name}")
        if record.name.partition(".")[0] in OURS:
            self.read(str(record.msg % record.args if record.args else record.msg), f"{test}, our {record.name}")

    def read(self, line: str, source: str) -> None:
        self.lines += 1
        self.found += [f"{kind} logged in {source}" for kind in self.kinds_in(line)]

    def kinds_in(self, line: str) -> Iterator[str]:
        yield from (kind for kind, pattern in PATTERNS.items() if pattern.search(line))
        if self.tokens.intersection(WORD.findall(line)):
            yield "token of this run"

    def read_file(self, file: Path, source: str) -> None:
        """The log of a process that a test has started."""
        for line in file.read_text(errors="replace").splitlines():
            self.read(line, source)

    def remember_tokens(self, make: Callable[..., str]) -> Callable[..., str]:
        def made(*args: Any) -> str:
            token = make(*args)
            self.tokens.add(token)
            return token

        return made


SCAN = Scan()


def pytest_sessionstart() -> None:
    secrets.token_urlsafe = SCAN.remember_tokens(secrets.token_urlsafe)


def pytest_runtest_setup() -> None:
    """For each test: importing `config.asgi` sets up the logging again, and a bridge's start takes all handlers off."""
    logging.getLogger().addHandler(SCAN)  # once, however often


def pytest_sessionfinish(session: pytest.Session) -> None:
    report(session.config, secrets=sorted(set(SCAN.found)), lines=SCAN.lines)
    if any(reports_of("secrets")):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    found = sorted(set(chain.from_iterable(reports_of("secrets"))))
    if found:
        terminalreporter.section("secrets in the log", red=True)
        for line in found:
            terminalreporter.line(line)
    else:
        lines = sum(reports_of("lines"))
        terminalreporter.line(f"{lines} lines of log read: no phone number, QR text, token or secret")
