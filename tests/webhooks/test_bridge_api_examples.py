"""The signing examples of docs/bridge-api.md, run as they stand there, send what the contract's test vector says."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support import ROOT
from tests.support.refusals import CODES

DOCUMENT = (ROOT / "docs" / "bridge-api.md").read_text()
TIMESTAMP = "1795173039"
BODY = (
    b'{"event":"session_authenticated","data":{"workspace_id":1,'
    b'"session_id":"webjs_1_1763600000_abcd1234","status":"authenticated"}}'
)
SIGNATURE = "7a6436f26be779b5eb3d7956c6aad5a54248e1d24389992552aaf81ec92c33db"
# Language, how it tells the time, and what runs it.
LANGUAGES = [
    pytest.param(
        "bash",
        '"$(date +%s)"',
        ["bash", "-euo", "pipefail", "-c"],
        marks=pytest.mark.needs("curl", "openssl"),
        id="bash",
    ),
    pytest.param("python", "str(int(time.time()))", [sys.executable, "-c"], id="python"),
    pytest.param(
        "js", "String(Math.floor(Date.now() / 1000))", ["node", "-e"], marks=pytest.mark.needs("node"), id="js"
    ),
]


@pytest.fixture
def received() -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """A server's address, and what it has been sent."""
    requests: list[tuple[str, dict[str, str], bytes]] = []

    class Portal(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"success": true}')

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("language", "clock", "command"), LANGUAGES)
def test_the_example_signs_as_the_test_vector(
    received: tuple[str, list[tuple[str, dict[str, str], bytes]]],
    language: str,
    clock: str,
    command: list[str],
) -> None:
    url, requests = received
    (example,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert example.count(clock) == 1
    code = example.replace(clock, f'"{TIMESTAMP}"').replace("http://127.0.0.1:8000", url)
    done = subprocess.run([*command, code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert '{"success": true}' in done.stdout
    ((path, headers, body),) = requests
    assert (path, body) == ("/api/whatsapp/webhooks/webjs", BODY)
    assert (headers["x-timestamp"], headers["x-hmac-signature"]) == (TIMESTAMP, SIGNATURE)
    assert headers["content-type"] == "application/json"


def test_the_vector_in_the_table_is_the_contracts() -> None:
    for text in ("`s3cret`", f"`{TIMESTAMP}`", f"`{BODY.decode()}`", f"`{SIGNATURE}`"):
        assert text in DOCUMENT


def test_every_code_of_a_refusal_is_explained() -> None:
    assert {code for code in CODES if f"`{code}`" not in DOCUMENT} == set()
