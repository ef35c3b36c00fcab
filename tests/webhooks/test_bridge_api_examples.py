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
VECTORS = (  # of version 2; tests/webhooks/test_signature_2.py computes them
    "4df801cb8eb548ea7a9a379a09b58beb7ca100e2ccb886fbb6037a8257d1e4e6",
    "70e3f8fbcfaa5eec333f5ae79a0826b3c29c393cfe58e5941cfdc721042c19ff",
    "296caa8d4ed75c9d959edda348f3a602907bc16a5ba694e12b20fee24d5d0839",
)
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


def examples(language: str) -> list[str]:
    """That of version 1, and that of version 2 where there is one."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def run(example: str, clock: str, command: list[str], url: str) -> None:
    assert example.count(clock) == 1
    code = example.replace(clock, f'"{TIMESTAMP}"').replace("http://127.0.0.1:8000", url)
    done = subprocess.run([*command, code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert '{"success": true}' in done.stdout


@pytest.mark.parametrize(("language", "clock", "command"), LANGUAGES)
def test_the_example_signs_as_the_test_vector(
    received: tuple[str, list[tuple[str, dict[str, str], bytes]]],
    language: str,
    clock: str,
    command: list[str],
) -> None:
    url, requests = received
    run(examples(language)[0], clock, command, url)
    ((path, headers, body),) = requests
    assert (path, body) == ("/api/whatsapp/webhooks/webjs", BODY)
    assert (headers["x-timestamp"], headers["x-hmac-signature"]) == (TIMESTAMP, SIGNATURE)
    assert headers["content-type"] == "application/json"


def test_the_example_of_version_2_signs_as_its_test_vector(
    received: tuple[str, list[tuple[str, dict[str, str], bytes]]],
) -> None:
    url, requests = received
    run(examples("python")[1], "str(int(time.time()))", [sys.executable, "-c"], url)
    ((path, headers, body),) = requests
    assert (path, body) == ("/api/whatsapp/webhooks/webjs", BODY)
    assert headers["x-hmac-signature-v2"] == VECTORS[0]
    assert "x-hmac-signature" not in headers
    sent = [headers[name] for name in ("x-timestamp", "x-event-id", "x-bridge-boot", "x-bridge-sequence")]
    assert sent == [TIMESTAMP, "evt-0001", "boot-a", "7"]


def test_the_vectors_of_version_2_are_in_the_table() -> None:
    for vector in VECTORS:
        assert f"`{vector}`" in DOCUMENT


def test_the_vector_in_the_table_is_the_contracts() -> None:
    for text in ("`s3cret`", f"`{TIMESTAMP}`", f"`{BODY.decode()}`", f"`{SIGNATURE}`"):
        assert text in DOCUMENT


def test_every_code_of_a_refusal_is_explained() -> None:
    assert {code for code in CODES if f"`{code}`" not in DOCUMENT} == set()
