"""One JSON object a line, with what it belongs to and without what nobody may read; and the scan of the whole run."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.logs.format import JsonLines, PlainLines, about
from accounts.logs.redaction import LONGEST, redact
from accounts.models import LinkSession
from accounts.pairing.bridge_events import Outcome
from tests.linking.conftest import QR_TEXT
from tests.support import ROOT
from tests.support.log_scan import Scan
from tests.support.portal import PHONE, Portal
from webhooks.events.handlers import LIFECYCLE, Handler

SIGNATURE = "7a6436f26be779b5eb3d7956c6aad5a54248e1d24389992552aaf81ec92c33db"
TOKEN = "Zk3vXq9_bT-7LmN0pRsTuVwXyZ12AbCdEfGhIjKlMnO"


def record(message: str, *args: Any, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("webhooks.inbox", logging.ERROR, "inbox.py", 1, message, args, info)


class TestRedaction:
    @pytest.mark.parametrize(
        "secret",
        [
            PHONE,
            f"+{PHONE}",
            "+62 811-6732-8422",
            "0811-6732-8422",
            f"'{PHONE}'",
            f"1-{PHONE}",
            f"phone={PHONE},",
            f"%2B{PHONE}",
            f"a\\n{PHONE}",
            f"\\u002b{PHONE}",
            f"{PHONE}:28@s.whatsapp.net",
            f"true_{PHONE}@c.us_3EB0F9E38AAA030B898A",
            "120363000000000001@g.us",
            QR_TEXT,
            "2@abc,def,ghi",
            "data:image/png;base64,iVBORw0KGgo=",
            "/link/short-token/",
            f"/ws/link/{TOKEN}/",
            "ld_abcdefghijklmnopqrstuvwxyz",
            TOKEN,
            SIGNATURE,
            "Authorization: Bearer undefined-key",
            "{'api_key': 'k'}",
            '{"hmac_secret": "s3cret"}',
            "GET /api/sessions?api_key=k1&x=1",
            "mysql://root:hunter2@db/linkdesk",
            "gAAAAABlabcdefghijklmnopqrstuvwxyz==",
        ],
    )
    def test_is_not_shown(self, secret: str) -> None:
        shown = redact(f"before {secret} after")
        assert shown.startswith("before ")
        assert shown.endswith(" after")
        assert "[" in shown or "/link/..." in shown
        for part in (PHONE, "6732", "abc", "iVBOR", "short-token", TOKEN, SIGNATURE, "s3cret", "hunter2", "=k", "'k'"):
            assert part not in shown

    @pytest.mark.parametrize(
        "text",
        [
            "session webjs_1_1763600000_abcd1234 is open",
            "event #12345678: ValueError in try 1",
            "2026-11-20T13:36:27.123Z took 0.123456789 s",
            "127.0.0.1:50321 answered 429 after 12 s",
            "account 12345678-1234-1234-1234-123456789012",
            "request 0123456789abcdef0123456789abcdef",
            'File "/srv/linkdesk/webhooks/inbox/receive.py", line 1234, in _apply',
            "KeyError: 'token'",
            "Not Found: /admin/accounts/account/12/change/",
        ],
    )
    def test_what_people_need_stays(self, text: str) -> None:
        assert redact(text) == text

    @pytest.mark.parametrize(
        "piece", ["a", "1", "token", "token=", "a-", "+1 ", "1 ", "aA1-", "@", "2@a,", "/link/", "\\"]
    )
    def test_no_text_takes_long(self, piece: str) -> None:
        start = time.thread_time()
        redact(piece * (20 * LONGEST // len(piece)))
        assert time.thread_time() - start < 0.5


class TestLines:
    def test_one_object_with_all_it_belongs_to(self) -> None:
        with about(request_id="r-1", session_id="webjs_1_1763600000_abcd1234"), about(event_id=7):
            line = JsonLines().format(record("tried %s times\nand again", 3))
        assert "\n" not in line
        found = json.loads(line)
        assert found.pop("time").endswith("+00:00")
        assert found == {
            "level": "ERROR",
            "logger": "webhooks.inbox",
            "message": "tried 3 times\nand again",
            "request_id": "r-1",
            "session_id": "webjs_1_1763600000_abcd1234",
            "event_id": 7,
        }
        assert "event_id" not in JsonLines().format(record("later"))

    @pytest.mark.parametrize("formatter", [JsonLines(), PlainLines()], ids=["json", "plain"])
    def test_a_traceback_shows_where_but_not_what(self, formatter: logging.Formatter) -> None:
        try:
            try:
                int(f"+{PHONE}x")
            except ValueError as error:
                raise RuntimeError(f"cannot link {QR_TEXT}") from error
        except RuntimeError as error:
            line = formatter.format(record("failed for %s", PHONE, error=error))
        assert "RuntimeError" in line
        assert "test_logs.py" in line
        assert PHONE not in line
        assert "identity=" not in line

    @pytest.mark.parametrize("formatter", [JsonLines(), PlainLines()], ids=["json", "plain"])
    def test_words_that_do_not_fit_are_no_way_around(self, formatter: logging.Formatter) -> None:
        """`logging` would print the arguments to stderr."""
        line = formatter.format(record("%d tries", PHONE))
        assert "cannot be formatted" in line
        assert PHONE not in line

    def test_half_of_a_surrogate_pair_is_written(self) -> None:
        assert json.loads(JsonLines().format(record("\ud83d"))) is not None


@pytest.mark.django_db
class TestRequestId:
    def test_one_is_made_up(self, client: Client) -> None:
        first, second = (client.get("/link/nobody/").headers["X-Request-Id"] for _ in range(2))
        assert len(first) == 32
        assert first != second

    def test_a_proxys_is_kept(self, client: Client, settings: Any) -> None:
        settings.LINKDESK_TRUSTED_PROXIES = ["127.0.0.1/32"]
        answer = client.get("/link/nobody/", headers={"X-Request-Id": "proxy-0001.abc"})
        assert answer.headers["X-Request-Id"] == "proxy-0001.abc"

    def test_a_strangers_is_not(self, client: Client) -> None:
        answer = client.get("/link/nobody/", headers={"X-Request-Id": "proxy-0001.abc"})
        assert answer.headers["X-Request-Id"] != "proxy-0001.abc"

    @pytest.mark.parametrize("given", ["", "short", "x" * 65, PHONE, "with space", "a\u00e9aaaaaaaa", TOKEN])
    def test_one_that_is_not_sane_is_not(self, client: Client, settings: Any, given: str) -> None:
        settings.LINKDESK_TRUSTED_PROXIES = ["127.0.0.1/32"]
        assert client.get("/link/nobody/", headers={"X-Request-Id": given}).headers["X-Request-Id"] != given

    def test_request_event_and_session_are_in_the_line(
        self, portal: Portal, session: LinkSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines: list[dict[str, Any]] = []
        handler = logging.Handler()
        monkeypatch.setattr(handler, "emit", lambda entry: lines.append(json.loads(JsonLines().format(entry))))

        def breaks(session_pk: int, data: dict[str, Any]) -> Outcome:
            raise ZeroDivisionError

        broken = Handler(LIFECYCLE["session_authenticated"].shape, breaks)
        monkeypatch.setitem(LIFECYCLE, "session_authenticated", broken)
        logging.getLogger("webhooks").addHandler(handler)
        answer = portal.post("session_authenticated", session)
        logging.getLogger("webhooks").removeHandler(handler)
        assert answer.json()["outcome"] == "failed"
        assert lines[0]["request_id"] == answer.headers["X-Request-Id"]
        assert lines[0]["session_id"] == session.session_id
        assert isinstance(lines[0]["event_id"], int)


class TestSettings:
    @pytest.mark.parametrize(
        ("environment", "formatter"),
        [
            ({}, "accounts.logs.format.PlainLines"),
            ({"DATABASE_URL": "sqlite:////tmp/x.sqlite3"}, "accounts.logs.format.JsonLines"),
            ({"DATABASE_URL": "sqlite:////tmp/x.sqlite3", "DEBUG": "1"}, "accounts.logs.format.PlainLines"),
            ({"LINKDESK_LOG_FORMAT": "json"}, "accounts.logs.format.JsonLines"),
        ],
        ids=["embedded", "production", "debug", "chosen"],
    )
    def test_json_in_production(self, tmp_path: Path, environment: dict[str, str], formatter: str) -> None:
        assert formatter in self.read(tmp_path, environment)

    def test_a_format_that_is_none(self, tmp_path: Path) -> None:
        assert "must be one of json, plain" in self.read(tmp_path, {"LINKDESK_LOG_FORMAT": "xml"})

    def read(self, data: Path, environment: dict[str, str]) -> str:
        names = ("DATABASE_URL", "REDIS_URL", "DEBUG", "LINKDESK_LOG_FORMAT")
        clean = {name: value for name, value in os.environ.items() if name not in names}
        secrets = {"SECRET_KEY": "x", "FIELD_ENCRYPTION_KEYS": "x", "LINKDESK_DATA_DIR": str(data)}
        code = "from config.settings import LOGGING; print(LOGGING['formatters'])"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=clean | secrets | environment, capture_output=True, text=True
        )
        return done.stdout + done.stderr


LEAK = """
import logging, secrets

def test_leaks():
    logging.getLogger("library").warning("no word boundary: phone_62811%s", "67328422")

def test_is_careless():
    logging.getLogger("webhooks.inbox").warning("this is redacted later: %s", "62811" + "67328422")

def test_logs_a_token():
    logging.getLogger("library").warning("too short to be redacted: %s", secrets.token_urlsafe(15))

def test_behaves():
    logging.getLogger("webhooks.inbox").warning("session webjs_1_1763600000_abcd1234 is fine")
"""


class TestTheScan:
    def run(self, folder: Path, *chosen: str) -> subprocess.CompletedProcess[str]:
        """As the whole run does it, over a file of its own."""
        (folder / "test_leak.py").write_text(LEAK)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.support.log_scan",
            "-p",
            "no:django",
            "-p",
            "no:cacheprovider",
        ]
        command += ["-c", os.devnull, "--rootdir", str(folder), *(f"{folder}/test_leak.py::{name}" for name in chosen)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    @pytest.mark.parametrize(
        ("test", "logger", "kind"),
        [
            ("test_leaks", "library", "phone number"),
            ("test_is_careless", "our webhooks.inbox", "phone number"),
            ("test_logs_a_token", "library", "token of this run"),
        ],
    )
    def test_fails_a_run_and_names_test_and_logger(self, tmp_path: Path, test: str, logger: str, kind: str) -> None:
        done = self.run(tmp_path, test)
        assert "1 passed" in done.stdout
        assert done.returncode == 1
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{kind} logged in")]
        assert test in line
        assert logger in line
        assert "67328422" not in done.stdout.partition("secrets in the log")[2]

    def test_lets_a_clean_run_pass(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, "test_behaves")
        assert done.returncode == 0
        assert "2 lines of log read: no phone number" in done.stdout

    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            (f"x {PHONE} y", "phone number"),
            (f"session_{PHONE}", "phone number"),
            ("+62 811-6732-8422", "phone number"),
            ("1@s.whatsapp.net", "JID"),
            (QR_TEXT, "QR text"),
            ("2@abc,def,ghi", "QR text"),
            ("data:image/png;base64,iVBO", "QR text"),
            ("alpha-hmac", "bridge secret"),
            ("?api_key=alpha-key", "bridge secret"),
            ("ld_abcdefghijklmnopqrstuvwxyz", "token"),
            (f"/link/{TOKEN}/", "token"),
            ("Bearer abc", "token"),
        ],
    )
    def test_knows_a_secret_when_it_sees_one(self, line: str, kind: str) -> None:
        assert list(Scan().kinds_in(line)) == [kind]
