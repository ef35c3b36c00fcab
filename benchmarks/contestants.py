"""The contestants, each a server and a kind of load, and the ratios between them."""

import importlib.util
from dataclasses import dataclass

from benchmarks.bodies import BATCH, WEBHOOK

DAPHNE = "-m daphne -b 127.0.0.1 -p {port}"
UVICORN = "-m uvicorn --host 127.0.0.1 --port {port} --no-access-log --log-level warning --lifespan off"
GUNICORN = "-m gunicorn -k gthread --workers 1 --threads 16 --keep-alive 30 --bind 127.0.0.1:{port} --log-level warning"
INGEST = "config.ingest" if importlib.util.find_spec("config.ingest") else "config.asgi"

SERVERS = {
    "product on daphne": f"{DAPHNE} config.asgi:application",
    "product on uvicorn": f"{UVICORN.replace('off', 'auto')} {INGEST}:application",
    "hello on daphne": f"{DAPHNE} benchmarks.peers.hello:application",
    "hello on uvicorn": f"{UVICORN} benchmarks.peers.hello:application",
    "gunicorn + insert": f"{GUNICORN} benchmarks.peers.wsgi:application",
    "DRF + insert": f"{DAPHNE} benchmarks.peers.asgi:application",
}


@dataclass(frozen=True)
class Contestant:
    name: str
    server: str
    path: str = WEBHOOK
    kind: str = "messages"


GUNICORN_INSERT = Contestant("gunicorn + insert", "gunicorn + insert", "/plain")
MESSAGES_UVICORN = Contestant("messages, uvicorn", "product on uvicorn")
MESSAGES_DAPHNE = Contestant("messages, daphne", "product on daphne")
CONTESTANTS = [
    Contestant("hello, daphne", "hello on daphne"),
    Contestant("hello, uvicorn", "hello on uvicorn"),
    GUNICORN_INSERT,
    Contestant("DRF + insert, daphne", "DRF + insert", "/drf"),
    MESSAGES_DAPHNE,
    MESSAGES_UVICORN,
    Contestant("batches of 100, uvicorn", "product on uvicorn", BATCH, "batches"),
    Contestant("lifecycle, daphne", "product on daphne", kind="cycles"),
    Contestant("lifecycle, uvicorn", "product on uvicorn", kind="cycles"),
]
EMBEDDED = [GUNICORN_INSERT, MESSAGES_DAPHNE, MESSAGES_UVICORN]
ROWS = "rows of 100 a commit"  # the floor without a server


@dataclass(frozen=True)
class Ratio:
    """The first's accepted events a second by the second's, and what is to be reached."""

    of: str
    to: str
    reach: float


RATIOS = [
    Ratio("messages, daphne", "hello, daphne", 0.40),
    Ratio("messages, uvicorn", "hello, uvicorn", 0.18),
    Ratio("messages, daphne", "gunicorn + insert", 1.5),
    Ratio("messages, uvicorn", "gunicorn + insert", 5),
    Ratio("messages, uvicorn", "DRF + insert, daphne", 15),
    Ratio("batches of 100, uvicorn", ROWS, 0.5),
    Ratio("lifecycle, daphne", "gunicorn + insert", 0.15),
    Ratio("lifecycle, uvicorn", "gunicorn + insert", 0.15),
]
RATIOS_EMBEDDED = [
    Ratio("messages, uvicorn", "gunicorn + insert", 3),
    Ratio("messages, daphne", "gunicorn + insert", 3),
]
